"""Whole runs on real Ray with simulated engines: from a command line to a dataset, through stops and starts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from datasets import load_from_disk

from synth import merge
from synth.records import dataset_schema
from synth.run import main
from tests.error_lines import check_line
from tests.stage import Stage, records_on_disk

SIMULATED = ["+strategy=magpie", "engine=simulated", "engine.tokens_per_second=2000", "engine.median_tokens=20"]


def run(folder, *overrides):
    return main([*SIMULATED, f"output_dir={folder}", *overrides])


def rows(folder):
    return load_from_disk(str(folder / "dataset")).to_list()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run of 200 records."""
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder, "num_records=200") == 0
    return folder


def test_a_dataset_has_as_many_records_as_asked_for_in_order_of_their_numbers(finished):
    numbers = [int(row["id"]) for row in rows(finished)]
    assert len(numbers) == 200
    assert numbers == sorted(set(numbers))


def test_a_dataset_has_the_contract_columns(finished):
    schema = load_from_disk(str(finished / "dataset")).features.arrow_schema
    assert schema.remove_metadata() == dataset_schema().remove_metadata()


def test_a_row_is_a_conversation_with_its_cost(finished):
    row = rows(finished)[0]
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["messages"][0]["content"] == row["instruction"]
    assert row["usage"]["completion_tokens"] > 2
    assert row["finish_reason"] == "stop"


def test_a_run_folder_holds_what_the_contract_says(finished):
    names = {path.name for path in finished.iterdir()}
    held = {"config.yaml", "manifest.json", "shards", "dataset", "metrics.jsonl", "report.html", "README.md"}
    assert held <= names
    assert not list((finished / "shards").glob("*journal*"))
    result = json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])
    assert result["kept"] >= 200


def test_a_finished_run_is_not_run_again(finished, capsys):
    before = (finished / "shards" / "00000.arrow").stat().st_mtime_ns
    assert run(finished, "num_records=200") == 0
    assert (finished / "shards" / "00000.arrow").stat().st_mtime_ns == before
    assert "200 records" in capsys.readouterr().out


def test_a_folder_with_another_run_is_refused_and_the_differing_key_named(finished, capsys):
    assert run(finished, "num_records=200", "seed=5") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: output_dir: {finished}/manifest.json is of another run: seed was 0, is 5;")
    assert len(error.splitlines()) == 1


def test_resume_never_refuses_a_folder_with_a_run(finished, capsys):
    assert run(finished, "num_records=200", "resume=never") == 2
    assert "has a run already" in capsys.readouterr().err


def test_a_folder_in_use_is_refused_and_its_owner_named(tmp_path, capsys):
    from synth.storage.run_folder import RunFolder

    RunFolder(tmp_path).make()
    with RunFolder(tmp_path).locked():
        assert run(tmp_path) == 2
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err


def test_a_run_that_is_refused_before_its_first_record_leaves_no_folder(tmp_path, capsys):
    assert run(tmp_path / "new", "cluster.replicas=1000000", "cluster=ray", "cluster.address=127.0.0.1:9") == 2
    assert "no Ray cluster answers" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    assert run(tmp_path / "file") == 2
    assert "is not a folder" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_starts_nothing(tmp_path, capsys):
    assert run(tmp_path / "dry", "num_records=500", "dry_run=true") == 0
    plan = capsys.readouterr().out
    assert "500 to keep" in plan
    assert "at most 2 per record" in plan
    assert not (tmp_path / "dry").exists()


def test_two_replicas_make_the_same_dataset_as_one(finished, tmp_path):
    assert run(tmp_path, "num_records=200", "cluster.replicas=2", "shard_size=17") == 0
    assert rows(tmp_path) == rows(finished)


def test_more_records_extend_a_finished_run(finished, tmp_path):
    assert run(tmp_path, "num_records=50") == 0
    assert run(tmp_path, "num_records=200") == 0
    assert rows(tmp_path) == rows(finished)


def test_ctrl_c_stops_and_the_same_command_goes_on(finished, tmp_path):
    stage, folder = Stage(tmp_path / "stage"), tmp_path / "run"
    engine = ["engine._target_=tests.stage.StagedSimulated", "engine.max_num_seqs=8", *stage.overrides]
    process = subprocess.Popen(
        [sys.executable, "-m", "synth.run", *SIMULATED, f"output_dir={folder}", "num_records=200", *engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while not records_on_disk(folder):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole process group
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    assert "run the same command again to resume" in output
    assert 0 < len(records_on_disk(folder)) < 200
    stage.go_on()
    assert run(folder, "num_records=200", *engine) == 0
    assert rows(folder) == rows(finished)


def test_a_hopeless_run_ends_with_3_and_says_what_ate_the_records(tmp_path, capsys, monkeypatch):
    code = "from synth.records import Rejection\nasync def strict(record, llm):\n    return Rejection('too_plain')\n"
    (tmp_path / "picky.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    words = [tmp_path / "run", "num_records=100", "strategy.steps=[{_target_: picky.strict}]"]
    assert run(*words) == 3
    output = capsys.readouterr().err
    assert "ended with 0 of 100 records, the yield is below min_yield=0.05: " in output
    assert "strict: too_plain" in output
    assert rows(tmp_path / "run") == []

    assert run(*words) == 3
    assert "no new record was run: set retry=[REASON,...]" in capsys.readouterr().err


def test_a_run_whose_first_records_are_errors_ends_with_1_and_the_commonest(tmp_path, capsys, monkeypatch):
    (tmp_path / "wrong.py").write_text("async def misspelt(record, llm):\n    return recrod\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run(tmp_path / "run", "num_records=100", "strategy.steps=[{_target_: wrong.misspelt}]") == 1
    assert "NameError: name 'recrod' is not defined (wrong.py:2)" in capsys.readouterr().err


def test_merge_by_hand_makes_a_dataset_of_what_is_committed(finished, tmp_path, capsys):
    assert merge.main([str(finished), "--output-dir", str(tmp_path)]) == 0
    assert "200 records in" in capsys.readouterr().out
    assert rows(tmp_path) == rows(finished)


def test_merge_names_a_folder_that_holds_no_run(tmp_path, capsys):
    assert merge.main([str(tmp_path)]) == 2
    check_line(capsys.readouterr().err, f"error: {tmp_path}", "no run", "manifest.json")
