"""How runs end: what they say of what is there. Whole runs on simulated engines, in one process and without Ray."""

import os
import re
import signal
import threading
import time

import pytest
from datasets import load_from_disk

from synth.report.run_data import Run
from synth.run import main
from synth.schedule import shard_files
from tests.damage import without_ray

SIMULATED = ["+strategy=magpie", "engine=simulated", "engine.median_tokens=20", "engine.first_token_s=0.001"]


@pytest.fixture(scope="module", autouse=True)
def _without_ray():
    with without_ray():
        yield


def run(folder, *overrides):
    return main([*SIMULATED, f"output_dir={folder}", *overrides])


@pytest.fixture
def strict(tmp_path, monkeypatch):
    """Overrides for a step that keeps nothing, over three rows of a file."""
    code = "from synth.records import Rejection\nasync def strict(record, llm):\n    return Rejection('too_plain')\n"
    (tmp_path / "picky.py").write_text(code)
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Sing."}\n' * 3)
    monkeypatch.syspath_prepend(tmp_path)
    source = ["num_records=all", "source=file", f"source.path={tmp_path / 'seeds.jsonl'}"]
    return [*source, "strategy.steps=[{_target_: picky.strict}]"]


def test_a_run_that_keeps_nothing_of_a_source_is_not_done(tmp_path, capsys, strict):
    assert run(tmp_path / "run", *strict) == 3
    output = capsys.readouterr()
    assert (
        output.out.startswith("0 records kept, 3 rejected (3 too_plain), in ") and "The dataset is in" not in output.out
    )
    assert "ended with 0 of 3 records, the source has no more records: 3 strict: too_plain" in output.err
    assert run(tmp_path / "run", *strict) == 3
    assert "no new record was run: set retry=[REASON,...]" in capsys.readouterr().err


def test_what_it_says_of_a_stop_is_what_is_on_disk_in_shards_and_in_journals(tmp_path, capsys):
    folder = tmp_path / "run"

    def stop():
        while not list(folder.glob("shards/00001.arrow")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert run(folder, "num_records=2000", "shard_size=50", "engine.max_num_seqs=16") == 75
    [said] = re.findall(r"stopped by SIGTERM: ([\d,]+) records kept so far are safe", capsys.readouterr().err)
    there = Run.open(folder)
    assert int(said.replace(",", "")) == there.counts["kept"] + there.in_journals.kept > there.counts["kept"] > 0
    assert there.snapshots[-1]["kept"] == int(said.replace(",", ""))


def test_a_shard_that_is_committed_while_the_run_ends_is_counted(tmp_path, capsys, monkeypatch):
    """Its worker never comes to tell of it."""

    def commit(*arguments):
        summary = committing(*arguments)
        if summary.index == 1:
            raise OSError(5, "lost")
        return summary

    committing = shard_files.commit
    monkeypatch.setattr(shard_files, "commit", commit)
    folder, words = tmp_path / "run", ["num_records=60", "shard_size=15"]
    assert run(folder, *words) == 1
    there = Run.open(folder)
    assert 1 in there.manifest.committed
    assert there.snapshots[-1]["kept"] == there.counts["kept"] + there.in_journals.kept
    capsys.readouterr()
    assert run(folder, *words) == 0
    assert capsys.readouterr().out.startswith("60 records kept, 0 rejected, in ")
    assert len(load_from_disk(str(folder / "dataset"))) == 60
