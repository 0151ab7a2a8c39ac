"""The folders of a sweep: below output_dir, named by what is swept over, and one for each run."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.run import main
from synth.sweep.folders import LONGEST, folder_name
from tests.report.runs import kept, make_run
from tests.test_run_errors import GOOD, job  # noqa: F401


@pytest.fixture
def folders(job):  # noqa: F811
    """The folders of a sweep's runs."""

    def folders(*words):
        job.configs.clear()
        assert main(["--multirun", *words]) == 0
        return [str(config.settings.output_dir) for config in job.configs]

    return folders


def test_runs_are_named_by_what_is_swept_over_and_by_no_other_key(folders):
    more = [
        "engine.max_num_seqs=64",
        "price_per_gpu_hour=3",
        "cluster.replicas=2",
        "num_records=9",
        "model.name=x/../y",
    ]
    names = ["cluster=local,seed=1", "cluster=local,seed=2", "cluster=ray,seed=1", "cluster=ray,seed=2"]
    assert folders(*GOOD, "output_dir=out", "cluster=local,ray", "seed=1,2") == [f"out/{name}" for name in names]
    assert folders(*GOOD, *more, "seed=1,2", "output_dir=out") == ["out/seed=1", "out/seed=2"]


def test_a_run_of_more_records_goes_on_in_the_folder_of_the_same_run(folders):
    assert folders(*GOOD, "output_dir=out", "seed=1,2", "num_records=9,20") == 2 * ["out/seed=1"] + 2 * ["out/seed=2"]
    assert folders(*GOOD, "output_dir=out", "num_records=9,20") == ["out/num_records=9", "out/num_records=20"]


def test_a_key_that_changes_no_data_is_a_folder_where_it_is_swept_over(folders):
    names = ["engine.max_num_seqs=64", "engine.max_num_seqs=128"]
    assert folders(*GOOD, "output_dir=out", "engine.max_num_seqs=64,128") == [f"out/{name}" for name in names]


def test_slices_and_folders_of_the_users_own_are_told_apart_by_themselves(folders):
    assert folders(*GOOD, "output_dir=out", "slice=0/2,1/2") == ["out", "out"]
    assert folders(*GOOD, "output_dir=a,b", "seed=1") == ["a", "b"]


def test_a_dry_run_shows_the_folder_of_the_run(job, capsys):  # noqa: F811
    assert main(["--multirun", *GOOD, "seed=1,2", "output_dir=out", "dry_run=true"]) == 0
    output = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("folder")]
    assert output == ["out/seed=1", "out/seed=2"]


def test_each_run_has_a_heading_as_it_starts(folders, capsys):
    folders(*GOOD, "output_dir=out", "seed=1,2", "model.dtype=auto,float32", "num_records=9")
    output = [line for line in capsys.readouterr().out.splitlines() if line]
    assert output == [
        "run 1 of 4: seed=1 model.dtype=auto",
        "run 2 of 4: seed=1 model.dtype=float32",
        "run 3 of 4: seed=2 model.dtype=auto",
        "run 4 of 4: seed=2 model.dtype=float32",
    ]


def test_a_sweep_ends_with_one_table_and_one_page_of_all_its_runs(job, tmp_path, capsys, monkeypatch):  # noqa: F811
    def run(config):
        seed = config.settings.seed
        make_run(config.settings.output_dir, [kept(0, f"Why is {seed}?")], identity={"seed": seed})
        return 0

    monkeypatch.setattr(job, "run", run)
    assert main(["--multirun", *GOOD, "seed=3,4,5", "output_dir=out"]) == 0
    table = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split()[:3] for line in table[:3]] == [["*A", "3", "1"], ["B", "4", "1"], ["C", "5", "1"]]
    assert table[3] == "The page of all runs is out/sweep.html"
    assert "comparison of 3 runs" in (tmp_path / "out" / "sweep.html").read_text()


def test_one_run_alone_has_neither_heading_nor_table(job, capsys):  # noqa: F811
    assert main([*GOOD, "output_dir=out"]) == 0
    assert not capsys.readouterr().out


def test_what_a_sweeper_is_told_in_a_file_is_swept_over_too(folders, tmp_path):
    own = "defaults: [config, _self_]\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    (tmp_path / "own.yaml").write_text(own)
    words = [f"--config-dir={tmp_path}", "--config-name=own", *GOOD, "output_dir=out", "num_records=5"]
    assert folders(*words) == ["out/seed=1", "out/seed=2"]


def test_a_sweep_leaves_nothing_beside_its_runs(folders, tmp_path):
    (tmp_path / "multirun").mkdir()
    (tmp_path / "multirun" / "multirun.yaml").write_text("mine")
    folders(*GOOD, "seed=1,2")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["multirun", "multirun/multirun.yaml"]
    assert (tmp_path / "multirun" / "multirun.yaml").read_text() == "mine"


def test_any_value_is_a_folder_below_output_dir(folders, tmp_path):
    values = ["../../x", "/etc", '"a\nb"', '"é 1"', "..", f'"{"Write a poem. " * 20}"', f'"{"ü" * 300}"']
    found = folders(*GOOD, "output_dir=out", f"model.name={','.join(values)}")
    assert len(set(found)) == len(values)
    assert {os.path.realpath(Path(path).parent) for path in found} == {str(tmp_path / "out")}
    for path in found:
        Path(path).mkdir(parents=True)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=300), min_size=2, max_size=2, unique=True))
def test_other_values_are_other_names_of_one_folder_each(values):
    quoted = ['"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values]
    names = [folder_name(["seed=1", f"model.name={value}"], ["seed"]) for value in quoted]
    assert len({name.casefold() for name in names}) == 2
    for name in names:
        assert "/" not in name and name not in (".", "..") and 0 < len(os.fsencode(name)) <= LONGEST
        assert name.isprintable()


def test_names_differ_where_letters_differ_in_case_only():
    assert folder_name(["model.name=Qwen"], []).casefold() != folder_name(["model.name=qwen"], []).casefold()
    assert folder_name(["model.name=qwen"], []) == "model.name=qwen"
