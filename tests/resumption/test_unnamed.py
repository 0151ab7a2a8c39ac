"""Where a run goes whose command line names no folder: the same command finds its run, another one gets its own."""

from pathlib import Path

import pytest

from synth.run import main
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.resumption.test_resume import begin

WORDS = ["+strategy=magpie", "engine=simulated", "dry_run=true"]


def held(name, *overrides):
    """A folder with the manifest of that run."""
    folder = RunFolder(Path("runs") / name)
    folder.make()
    begin(folder, *overrides, "engine=simulated", strategy="magpie")


@pytest.fixture
def plan(capsys):
    """The folder that a command would write to, and what else it has said."""

    def plan(*overrides):
        assert main([*WORDS, *overrides]) == 0
        out, err = capsys.readouterr()
        (line,) = (line for line in out.splitlines() if line.startswith("folder"))
        said = [line for line in err.splitlines() if not line.startswith("[transformers]")]  # on importing it
        return line.split()[1].rstrip(","), said

    return plan


def test_the_first_run_of_a_strategy_has_its_name(plan):
    assert plan() == ("runs/magpie", [])


def test_the_same_command_finds_its_run_among_others(plan):
    held("magpie")
    held("magpie-2", "seed=7")
    assert plan() == ("runs/magpie", [])
    assert plan("num_records=500")[0] == "runs/magpie"
    assert plan("seed=7") == ("runs/magpie-2", ["runs/magpie holds another run: seed was 0, is 7"])


def test_another_experiment_begins_in_a_folder_of_its_own(plan):
    held("magpie")
    assert plan("seed=7")[0] == "runs/magpie-2"
    held("magpie-2", "seed=7")
    Path("runs/magpie-3/seed=1").mkdir(parents=True)  # a sweep's
    folder, told = plan("seed=8", "strategy.magpie.n_turns=2")
    assert folder == "runs/magpie-4"
    assert [line.partition(":")[0] for line in told] == [
        "runs/magpie holds another run", "runs/magpie-2 holds another run"
    ]  # fmt: skip


def test_a_run_is_found_though_the_first_folder_is_gone(plan):
    held("magpie-2", "seed=7")
    assert plan("seed=7")[0] == "runs/magpie-2"
    assert plan()[0] == "runs/magpie"


@pytest.mark.parametrize("words", [["output_dir=runs/magpie"], ["resume=force", "strategy.columns={note: string}"]])
def test_a_folder_that_is_named_or_forced_is_taken_or_refused(words, capsys):
    held("magpie")
    assert main([*WORDS, "seed=7", *words]) == 2
    assert "error: output_dir: runs/magpie/manifest.json is of another run: " in capsys.readouterr().err


def test_rejected_records_are_made_again_in_no_new_run(capsys):
    held("magpie")
    assert main([*WORDS, "seed=7", "retry=[error]"]) == 2
    assert "runs/magpie/manifest.json is of another run: seed was 0, is 7" in capsys.readouterr().err


def test_another_version_of_synth_is_no_other_experiment(capsys):
    held("magpie")
    folder = RunFolder(Path("runs/magpie"))
    manifest = Manifest.read(folder)
    manifest.identity["synth"] = "0.0.9"
    manifest.write(folder)
    assert main(WORDS) == 2
    assert "is of another run: synth was 0.0.9, is " in capsys.readouterr().err


def test_a_sweep_stays_together(capsys):
    held("magpie")
    assert main(["--multirun", *WORDS, "seed=7,8"]) == 0
    assert "runs/magpie/seed=7" in capsys.readouterr().out
