"""The merge: links, not copies, and what datasets makes of them."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from datasets import load_from_disk

from synth.merge import main
from synth.records import Shard
from synth.storage.journal import Journal
from synth.storage.lock import locked_file
from synth.storage.manifest import Manifest
from synth.storage.merge import Unmergeable, merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit
from tests.storage import rows as rows_of_runs
from tests.storage.rows import finished


def run_of(path, *shards, columns=None):
    """A run folder whose shards hold the given records' rows: run_of(path, [(0, 2), (1, 1)]) has three rows."""
    folder = RunFolder(path)
    folder.make()
    manifest = Manifest({"seed": 1}, columns or {}, {}, num_records=100)
    for index, records in enumerate(shards):
        numbers = [number for number, _ in records]
        shard = Shard(index, min(numbers), max(numbers) + 1)
        journal = Journal.open(folder.journal(index), {})
        for number, rows in records:
            journal.append(finished(number, rows, rejections=0 if rows else 1))
        manifest.shards.append(shard)
        manifest.committed[index] = commit(folder, shard, journal, {}, manifest.fingerprint)
    return folder, manifest


def test_a_dataset_loads_with_its_rows_in_record_order(tmp_path):
    run = run_of(tmp_path / "run", [(0, 1), (1, 2)], [(2, 1), (3, 0)])
    assert merge([run], run[0].dataset) == 4
    assert load_from_disk(run[0].dataset)["id"][:] == ["0/0", "1/0", "1/1", "2/0"]


def test_whole_shards_are_linked_and_not_copied(tmp_path):
    run = run_of(tmp_path / "run", [(0, 1)], [(1, 1)])
    merge([run], run[0].dataset)
    linked = {path.stat().st_ino for path in run[0].dataset.glob("*.arrow")}
    assert linked == {run[0].shard(0).stat().st_ino, run[0].shard(1).stat().st_ino}


def test_a_dataset_ends_where_enough_records_are_kept(tmp_path):
    run = run_of(tmp_path / "run", [(0, 2)], [(1, 2)], [(2, 2)])
    assert merge([run], run[0].dataset, num_records=3) == 3
    assert load_from_disk(run[0].dataset)["id"][:] == ["0/0", "0/1", "1/0"]


def test_a_shard_without_kept_rows_does_not_matter(tmp_path):
    run = run_of(tmp_path / "run", [(0, 0)], [(1, 1)])
    merge([run], run[0].dataset)
    assert load_from_disk(run[0].dataset)["id"][:] == ["1/0"]


def test_a_run_that_rejected_everything_gives_an_empty_dataset(tmp_path):
    run = run_of(tmp_path / "run", [(0, 0)])
    assert merge([run], run[0].dataset) == 0
    assert load_from_disk(run[0].dataset).column_names[:2] == ["id", "messages"]


def test_merging_again_replaces_the_dataset(tmp_path):
    run = run_of(tmp_path / "run", [(0, 1)], [(1, 1)])
    merge([run], run[0].dataset, num_records=1)
    merge([run], run[0].dataset)
    assert len(load_from_disk(run[0].dataset)) == 2
    assert [path.name for path in run[0].path.glob(".dataset*")] == [".dataset.lock"]


def test_the_same_rows_have_the_same_fingerprint(tmp_path):
    prints = []
    for name in ("one", "two"):
        run = run_of(tmp_path / name, [(0, 1)])
        merge([run], run[0].dataset)
        prints.append(load_from_disk(run[0].dataset)._fingerprint)  # datasets has no public name for it
    assert prints[0] == prints[1]


def test_slices_of_a_run_merge_into_one_dataset(tmp_path):
    runs = [run_of(tmp_path / "a", [(0, 1), (1, 1)]), run_of(tmp_path / "b", [(2, 1), (3, 1)])]
    assert merge(runs, tmp_path / "both") == 4
    assert load_from_disk(tmp_path / "both")["id"][:] == ["0/0", "1/0", "2/0", "3/0"]


def test_records_that_two_folders_hold_are_refused(tmp_path):
    runs = [run_of(tmp_path / "a", [(0, 1), (1, 1)]), run_of(tmp_path / "b", [(1, 1)])]
    with pytest.raises(Unmergeable, match=r"b: has records 1 to 1, and so has .*a"):
        merge(runs, tmp_path / "both")


def test_folders_with_other_columns_are_refused(tmp_path):
    runs = [run_of(tmp_path / "a", [(0, 1)]), run_of(tmp_path / "b", [(1, 1)], columns={"score": "int64"})]
    with pytest.raises(Unmergeable, match="b: column 'score' differs"):
        merge(runs, tmp_path / "both")


def test_a_run_with_nothing_committed_is_refused(tmp_path):
    with pytest.raises(Unmergeable, match="no committed shard yet"):
        merge([run_of(tmp_path / "a")], tmp_path / "dataset")


def test_of_two_merges_at_once_the_second_waits(tmp_path, capsys):
    run = run_of(tmp_path / "run", [(0, 1)], [(1, 1)])
    with ThreadPoolExecutor(1) as thread, locked_file(run[0].path / ".dataset.lock"):
        second = thread.submit(merge, [run], run[0].dataset)
        while "waiting for another process that is merging it" not in capsys.readouterr().err:
            time.sleep(0.01)
        assert not second.done() and not run[0].dataset.exists()
    assert second.result() == len(load_from_disk(run[0].dataset)) == 2


def written(path):
    folder, manifest = run_of(path, [(0, 1)])
    manifest.write(folder)
    return folder


def test_a_merge_beside_a_run_is_refused_and_its_owner_named(tmp_path, capsys):
    folder = written(tmp_path / "run")
    with folder.locked():
        assert main([str(folder.path)]) == 2
        assert main([str(written(tmp_path / "other").path), "--output-dir", str(folder.path)]) == 2
    output = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"error: {folder.path} is in use by process {os.getpid()} on") for line in output)
    assert len(output) == 2 and not folder.dataset.exists()


@pytest.mark.parametrize("name", ["manifest.json", "dataset", "README.md"])
def test_a_merge_replaces_nothing_that_is_no_merge(tmp_path, capsys, name):
    folder, output = written(tmp_path / "run"), tmp_path / "out"
    assert main([str(folder.path), "--output-dir", str(output)]) == 0
    assert main([str(folder.path), "--output-dir", str(output)]) == 0
    shutil.rmtree(output)
    output.mkdir()
    mine = output / name if name != "dataset" else output / "dataset" / "mine.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    assert main([str(folder.path), "--output-dir", str(output)]) == 2
    assert "choose another --output-dir" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert [path for path in output.rglob("*") if path.is_file() and path.name != ".lock"] == [mine]


def test_a_merge_of_other_runs_is_not_replaced(tmp_path, capsys):
    folder, output = rows_of_runs.run_of(tmp_path / "run", {}, {}), tmp_path / "out"
    assert main([str(folder.path), "--output-dir", str(output)]) == 0
    other, manifest = run_of(tmp_path / "other", [(0, 1)])
    manifest.write(other)
    assert main([str(other.path), "--output-dir", str(output)]) == 2
    assert f"{output}/dataset: is merged from other runs; choose another --output-dir" in capsys.readouterr().err
    assert len(load_from_disk(str(output / "dataset"))) == 2
