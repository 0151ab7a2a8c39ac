"""A run in slices: what is refused, what a single job takes over wherever that breaks off, and whole arrays of jobs."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_from_disk

from synth import merge
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.records import Slice
from synth.resumption import slices
from synth.resumption.resume import manifest_of, plan_of
from synth.resumption.slices import drop_taken, take_over
from synth.run import main
from synth.sources.store import Contents
from synth.storage.journal import Journal, finished_numbers
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit
from tests.configuration.test_config import composed, plain, refusal
from tests.error_lines import check_line
from tests.storage.rows import finished

OF = 3
WANTED = 240  # in shards of 5


def configured(path, *overrides, **chosen):
    words = [f"num_records={WANTED}", f"output_dir={path}", *overrides]
    return parse(composed(*words, **({"model": "demo"} | chosen)))


def begun(path, *overrides, contents=None):
    """The folder, manifest and plan of a job, as it begins."""
    config, contents = configured(path, *overrides), contents or Contents()
    folder = RunFolder(config.settings.run_dir)
    folder.make()
    manifest = manifest_of(folder, config, contents)
    plan = plan_of(config, contents, manifest, 1)
    plan.next()
    manifest.shards = plan.shards
    return folder, manifest, plan


def work(path, number, shards, *overrides):
    """A slice that commits its first `shards` shards and leaves a journal of the next one. Its manifest is older."""
    folder, manifest, _ = begun(path, f"slice={number}/{OF}", *overrides)
    manifest.write(folder)
    for place, shard in enumerate(manifest.shards[: shards + 1]):
        journal = Journal.open(folder.journal(shard.index), {}, f"{manifest.fingerprint} {shard.start} {shard.stop}")
        whole = place < shards
        for record in range(shard.start, shard.stop if whole else shard.stop - 2):
            journal.append(finished(record))
        if whole:
            manifest.committed[shard.index] = commit(folder, shard, journal, {}, manifest.fingerprint)
        else:
            journal.close()
        if place == 1:
            manifest.write(folder)
    return folder


def refused(path, *overrides, **more):
    with pytest.raises(ConfigError) as caught:
        begun(path, *overrides, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8/8", "slice: must be from 0/8 to 7/8, got '8/8'"),
        ("0/0", "slice: must be like 0/8, the first slice of eight, got '0/0'"),
        ("3", "slice: must be like 0/8, the first slice of eight, got '3'"),
        (3, "slice: must be like 0/8, the first slice of eight, got 3"),
        ("-1/8", "slice: must be like 0/8, the first slice of eight, got '-1/8'"),
    ],
)
def test_what_is_no_slice_is_refused(text, expected):
    assert refusal(plain() | {"slice": text}) == expected


def test_a_strategy_whose_records_share_something_has_no_slices():
    error = refusal(composed("slice=0/2", strategy="self_instruct", model="demo"))
    assert error.startswith("slice: records of self_instruct share a pool")


@pytest.mark.parametrize("word", ["push_to_hub=me/mine", "publish='hub:me/mine'"])
def test_a_slice_is_not_pushed_and_not_published(word):
    key = word.partition("=")[0]
    assert refusal(composed("slice=0/2", word)).startswith(f"{key}: a slice has no dataset")


def test_slices_have_all_records_once_in_folders_of_their_own(tmp_path):
    plans = [begun(tmp_path, f"slice={number}/{OF}") for number in range(OF)]
    shards = sorted((shard for _, _, plan in plans for shard in plan.shards), key=lambda shard: shard.index)
    assert [(shard.start, shard.stop) for shard in shards] == [(start, start + 5) for start in range(0, WANTED, 5)]
    assert [folder.path.relative_to(tmp_path) for folder, _, _ in plans] == [
        Path(f"slices/{number}-of-3") for number in range(OF)
    ]


def test_a_small_source_is_shared_out_too(tmp_path):
    plans = [begun(tmp_path, f"slice={number}/{OF}", contents=Contents(rows=7, content="x")) for number in range(OF)]
    assert [sum(map(len, plan.shards)) for _, _, plan in plans] == [3, 2, 2]


def test_a_slice_without_any_record_is_refused(tmp_path):
    error = refused(tmp_path, "slice=2/3", contents=Contents(rows=2, content="x"))
    check_line(error, "slice", "2/3", "2 records", "fewer slices")


def test_shards_are_those_of_the_slice_that_was_first(tmp_path):
    work(tmp_path, 0, 2)
    *_, plan = begun(tmp_path, "slice=1/3", "shard_size=2", "num_records=900")
    assert {len(shard) for shard in plan.shards} == {5}


def test_a_slice_of_another_run_is_refused(tmp_path):
    work(tmp_path, 0, 2)
    error = refused(tmp_path, "slice=1/3", "seed=5")
    assert error.startswith(f"output_dir: {tmp_path}/slices/0-of-3/manifest.json is of another run: seed was 0, is 5;")
    assert refused(tmp_path, "seed=5") == error


def test_another_number_of_slices_is_refused(tmp_path):
    work(tmp_path, 0, 2)
    check_line(refused(tmp_path, "slice=1/2"), "slice", str(tmp_path), "3 slices", "1/2")


def test_what_is_a_single_jobs_is_not_for_slices(tmp_path):
    folder, manifest, _ = begun(tmp_path)
    manifest.write(folder)
    expected = f"slice: {tmp_path} has been taken over by a single job; resume it without slice"
    assert refused(tmp_path, "slice=0/3") == expected


def test_a_single_job_while_a_slice_runs_is_refused_and_its_owner_named(tmp_path, capsys):
    part = work(tmp_path, 1, 2)
    words = ["+strategy=magpie", "engine=simulated", f"output_dir={tmp_path}"]
    with part.locked(), RunFolder(tmp_path).locked(shared=True), RunFolder(tmp_path).locked(shared=True):
        assert main(words) == 2
    assert f"output_dir: {part.path} is in use by process {os.getpid()} on" in capsys.readouterr().err
    assert not RunFolder(tmp_path).manifest.exists()


def test_slices_while_a_single_job_runs_are_refused(tmp_path, capsys):
    RunFolder(tmp_path).make()
    with RunFolder(tmp_path).locked():
        assert main(["+strategy=magpie", "engine=simulated", f"output_dir={tmp_path}", "slice=0/3"]) == 2
    assert f"output_dir: {tmp_path} is in use by process {os.getpid()} on" in capsys.readouterr().err


def test_a_single_job_has_all_that_slices_have_and_plans_what_they_lack(tmp_path):
    for number, shards in enumerate((4, 1)):
        work(tmp_path, number, shards)
    folder, manifest, plan = begun(tmp_path)
    assert sorted(manifest.committed) == [0, 1, 3, 6, 9]
    assert (plan.next().index, plan.kept) == (2, 25)
    assert not folder.manifest.exists()  # a dry run moves nothing
    assert take_over(folder, manifest) == 2
    assert sorted(path.name for path in folder.shards.glob("*journal*")) == [
        "00004.journal.arrow",
        "00012.journal.arrow",
    ]
    assert finished_numbers(folder.journal(12)) == {60, 61, 62}
    assert take_over(folder, manifest) == 0
    *_, again = begun(tmp_path, "cluster.replicas=4")
    assert (again.next().index, again.kept) == (2, 25)


def test_a_take_over_that_breaks_off_anywhere_is_gone_on_with(tmp_path, monkeypatch, caplog):
    for number, shards in enumerate((3, 1)):
        work(tmp_path / "array", number, shards)
    left = 0

    def breaking(call):
        def breaks(*given, **more):
            nonlocal left
            if left == 0:
                raise OSError("no power")
            left -= 1
            return call(*given, **more)

        return breaks

    monkeypatch.setattr(slices, "link", breaking(slices.link))
    monkeypatch.setattr(Path, "unlink", breaking(Path.unlink))
    monkeypatch.setattr(Manifest, "write", breaking(Manifest.write))
    for moves in itertools.count():
        path = tmp_path / str(moves)
        shutil.copytree(tmp_path / "array", path)
        left = 1000
        folder, manifest, _ = begun(path)
        left = moves
        try:
            take_over(folder, manifest)
            drop_taken(folder)
            break
        except OSError:
            left = 1000
        folder, manifest, _ = begun(path)
        assert sorted(manifest.committed) == [0, 1, 3, 6], moves
        take_over(folder, manifest)
        drop_taken(folder)
        folder, manifest, _ = begun(path)
        assert sorted(manifest.committed) == [0, 1, 3, 6], moves
        assert [len(finished_numbers(folder.journal(index))) for index in (4, 9)] == [3, 3]
        assert not any(part.manifest.exists() or any(part.shards.iterdir()) for part in folder.slices().values())
    assert moves > 2 * 3 * 4  # files of shards, twice, and some more
    assert not caplog.messages  # of anything damaged


def test_a_damaged_shard_of_a_slice_is_made_again(tmp_path):
    part = work(tmp_path, 0, 3)
    part.shard(3).write_bytes(b"")
    folder, manifest, _ = begun(tmp_path)
    take_over(folder, manifest)
    *_, plan = begun(tmp_path)
    assert (plan.kept, plan.next().index) == (10, 1)


def test_a_merge_of_slices_has_the_first_records_and_tells_what_lacks(tmp_path, capsys):
    for number in range(OF):
        work(tmp_path, number, 16 - number)
    assert merge.main([str(tmp_path)]) == 0
    output = capsys.readouterr()
    assert output.out == f"225 records in {tmp_path}/dataset\n"
    check_line(output.err, "incomplete", "1/3, 2/3")
    numbers = [int(id.partition("/")[0]) for id in load_from_disk(tmp_path / "dataset")["id"]]
    assert numbers == sorted(numbers)


def test_a_merge_ends_with_the_last_record_that_was_asked_for(tmp_path, capsys):
    folders = [work(tmp_path, number, 16) for number in range(OF)]
    for folder in folders:
        manifest = Manifest.read(folder)
        manifest.num_records = 238
        manifest.write(folder)
    assert merge.main([*(str(folder.path) for folder in folders), "--output-dir", str(tmp_path)]) == 0
    assert capsys.readouterr() == (f"238 records in {tmp_path}/dataset\n", "")


SIMULATED = ["+strategy=magpie", "engine=simulated", "engine.median_tokens=20", f"num_records={WANTED}"]
FAST, SLOW = "engine.tokens_per_second=5000", "engine.tokens_per_second=15"


def rows(folder):
    return load_from_disk(str(folder / "dataset")).to_list()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The rows of a single job, undisturbed."""
    folder = tmp_path_factory.mktemp("alone")
    assert main([*SIMULATED, FAST, f"output_dir={folder}"]) == 0
    return rows(folder)


@pytest.fixture(scope="module")
def array(tmp_path_factory):
    """The folder of a run whose three slices are finished."""
    root = tmp_path_factory.mktemp("array")
    assert main(["--multirun", *SIMULATED, FAST, f"output_dir={root}", "slice=0/3,1/3,2/3"]) == 0
    return root


@pytest.mark.slow
def test_slices_merge_to_the_dataset_of_a_single_job(array, alone, capsys):
    assert merge.main([str(array)]) == 0
    assert capsys.readouterr() == (f"{WANTED} records in {array}/dataset\n", "")
    assert rows(array) == alone


@pytest.mark.slow
def test_slices_of_a_run_with_a_source_have_one_copy_of_it_which_the_single_job_goes_on_with(tmp_path):
    (tmp_path / "seeds.jsonl").write_text("".join(f'{{"topic": "topic {number}"}}\n' for number in range(40)))
    words = ["+strategy=text_generation", 'strategy.text_generation.template="About {{ topic }}."', "source=file"]
    words += [f"source.path={tmp_path}/seeds.jsonl", "num_records=all", "engine=simulated", "engine.median_tokens=5"]
    words += [FAST, f"output_dir={tmp_path}/run"]
    assert main([*words, "slice=0/3"]) == 0 == main([*words, "slice=1/3"])
    whole = RunFolder(tmp_path / "run")
    copies = [part.source / "rows.jsonl" for part in whole.slices().values()]
    assert len(copies) == 2 and all(copy.samefile(whole.source / "rows.jsonl") for copy in copies)
    assert main(words) == 0
    asked = [row["messages"][0]["content"] for row in rows(whole.path)]
    assert asked == [f"About topic {number}." for number in range(40)]
    assert copies[0].samefile(whole.source / "rows.jsonl")


@pytest.mark.slow
def test_a_single_job_goes_on_with_slices_that_are_finished_or_stopped_or_were_never_begun(array, alone, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(array, folder)
    for number in (1, 2):
        shutil.rmtree(RunFolder(folder).slice(Slice(number, OF)).path)
    part = RunFolder(folder).slice(Slice(1, OF))
    words = [sys.executable, "-m", "synth.run", *SIMULATED, SLOW, f"output_dir={folder}", "slice=1/3"]
    job = subprocess.Popen([*words, "engine.max_num_seqs=8"], stderr=subprocess.PIPE, text=True)
    for line in job.stderr:
        if line.startswith("kept") and int(line.split()[1].partition("/")[0]) > 10:
            break
    job.send_signal(signal.SIGINT)
    assert job.wait(60) == 75
    journals = list(part.shards.glob("*.journal.arrow"))
    safe = {number for path in journals for number in finished_numbers(path)}
    assert safe
    assert main([*SIMULATED, FAST, f"output_dir={folder}", "cluster.replicas=2", "shard_size=20"]) == 0
    assert rows(folder) == alone
    assert not RunFolder(folder).slices()[Slice(1, OF)].manifest.exists()
