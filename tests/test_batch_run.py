"""A batch file through whole runs on real Ray with simulated engines: a result for each request, whatever happens."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion

from synth import export
from synth.run import main
from tests.stage import Stage, is_alive, records_on_disk
from tests.storage.rows import run_of

pytestmark = pytest.mark.slow

REQUESTS = 120
FAST = ["engine=simulated", "engine.tokens_per_second=5000", "engine.first_token_s=0", "engine.median_tokens=8"]


def line(number):
    """One in ten is wrong, of several kinds; the others have a seed of their own, or none."""
    body = {"model": "demo", "messages": [{"role": "user", "content": f"What is {number}?"}], "max_tokens": 16}
    if number % 3 == 0:
        body["seed"] = number
    if number % 7 == 0:
        body["n"] = 2
    given = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    match number % 50:
        case 5:
            given |= {"url": "/v1/completions", "body": {"prompt": f"{number} and", "max_tokens": 8}}
        case 9:
            return json.dumps(given)[:-9]
        case 19:
            body["best_of"] = 4
        case 29:
            given["custom_id"] = "r0"
        case 39:
            body["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": "x"}}]
        case 49:
            given["url"] = "/v1/embeddings"
    return json.dumps(given)


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    path = tmp_path_factory.mktemp("batch") / "requests.jsonl"
    path.write_text("".join(f"{line(number)}\n" for number in range(REQUESTS)))
    return path


def words(requests, folder):
    return ["+strategy=batch", f"source.path={requests}", f"output_dir={folder}", *FAST]


def exported(folder, out, *further):
    """The exit code and the result lines."""
    code = export.main([str(folder), "--format", "openai_batch", "--output-dir", str(out), *further])
    return code, [json.loads(part) for part in (out / "output.jsonl").read_text().split("\n") if part]


def answers(results):
    """What does not differ from run to run."""
    found = []
    for result in results:
        body = (result["response"] or {}).get("body", {})
        found.append((result["custom_id"], body.get("choices"), body.get("usage"), result["error"]))
    return found


@pytest.fixture(scope="module")
def finished(requests, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(words(requests, folder)) == 0
    return folder


def test_each_request_has_one_result_in_its_place(finished, tmp_path, capsys):
    code, results = exported(finished, tmp_path)
    assert code == 0 and len(results) == REQUESTS
    assert [int(result["custom_id"][1:]) for result in results if result["error"] is None] == [
        number for number in range(REQUESTS) if number % 10 != 9
    ]
    assert "120 results in" in capsys.readouterr().out


def test_openais_own_types_read_each_answer(finished, tmp_path):
    _, results = exported(finished, tmp_path)
    good = [result for result in results if result["error"] is None]
    for one in good:
        assert one["response"]["status_code"] == 200
        number = int(one["custom_id"][1:])
        kind = Completion if number % 50 == 5 else ChatCompletion
        body = kind.model_validate(one["response"]["body"], strict=True)
        assert len(body.choices) == (2 if number % 7 == 0 and number % 50 != 5 else 1)
    assert len({result["id"] for result in results}) == REQUESTS


def test_an_error_has_the_line_and_the_code_of_openai(finished, tmp_path):
    _, results = exported(finished, tmp_path)
    bad = [result for result in results if result["error"]]
    codes = ["invalid_json_line", "unsupported_parameter", "duplicate_custom_id", "unsupported_content", "invalid_url"]
    assert [one["error"]["code"] for one in bad[:5]] == codes
    assert [one["error"]["line"] for one in bad] == [number + 1 for number in range(REQUESTS) if number % 10 == 9]
    for one in bad:
        assert one["response"]["status_code"] == 400
        assert one["response"]["body"]["error"]["code"] == one["error"]["code"]


def test_errors_may_have_a_file_of_their_own(finished, tmp_path):
    _, together = exported(finished, tmp_path / "one")
    _, good = exported(finished, tmp_path / "two", "--separate-errors")
    bad = [json.loads(one) for one in (tmp_path / "two" / "errors.jsonl").read_text().splitlines()]
    assert good == [one for one in together if one["error"] is None]
    assert bad == [one for one in together if one["error"]]


def test_an_export_writes_over_nothing(finished, tmp_path, capsys):
    exported(finished, tmp_path)
    before = (tmp_path / "output.jsonl").read_bytes()
    assert export.main([str(finished), "--format", "openai_batch", "--output-dir", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err and (tmp_path / "output.jsonl").read_bytes() == before


def test_two_engines_and_other_shards_give_the_same_answers(requests, finished, tmp_path):
    assert main([*words(requests, tmp_path / "run"), "cluster.replicas=2", "shard_size=13"]) == 0
    assert answers(exported(tmp_path / "run", tmp_path / "out")[1]) == answers(exported(finished, tmp_path / "one")[1])


def test_after_kills_the_same_command_gives_each_request_its_one_result(requests, finished, tmp_path, capsys):
    stage, folder = Stage(tmp_path / "stage"), tmp_path / "run"
    engine = ["engine._target_=tests.stage.StagedSimulated", "engine.max_num_seqs=8", "+engine.answers=30"]
    command = [*words(requests, folder), *engine, *stage.overrides, "shard_size=10"]
    for _ in range(2):
        before = records_on_disk(folder)
        process = subprocess.Popen([sys.executable, "-m", "synth.run", *command], start_new_session=True)
        while len(records_on_disk(folder)) < len(before) + 20:
            assert process.poll() is None
            time.sleep(0.1)
        pids = [one["pid"] for one in stage.started()]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while any(map(is_alive, pids)):  # a worker ends with its driver
            time.sleep(0.1)
    code, some = exported(folder, tmp_path / "some")
    missing = REQUESTS - len(some)
    assert code == 3 and f"incomplete: {missing} requests have no result yet" in capsys.readouterr().err
    stage.go_on()
    assert main(command) == 0
    code, results = exported(folder, tmp_path / "all")
    assert code == 0
    assert answers(results) == answers(exported(finished, tmp_path / "one")[1])


def test_slices_are_exported_together_and_what_is_missing_is_said(requests, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main([*words(requests, folder), "slice=1/2"]) == 0
    code, some = exported(folder, tmp_path / "some")
    assert code == 3 and 0 < len(some) < REQUESTS
    assert main([*words(requests, folder), "slice=0/2"]) == 0
    code, results = exported(folder, tmp_path / "all")
    assert code == 0 and len(results) == REQUESTS
    assert [result for result in results if result in some] == some


def test_a_run_of_another_strategy_has_no_results(tmp_path, capsys):
    folder = run_of(tmp_path / "run", {"messages": []})
    assert export.main([str(folder.path), "--format", "openai_batch", "--output-dir", str(tmp_path / "out")]) == 2
    assert "is no run of +strategy=batch" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_damaged_shard_is_refused(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    shard = tmp_path / "run" / "shards" / "00000.rejected.arrow"
    shard.write_bytes(shard.read_bytes()[:-5] + b"wrong")
    assert export.main([str(tmp_path / "run"), "--format", "openai_batch", "--output-dir", str(tmp_path / "out")]) == 2
    assert f"{shard}: is damaged" in capsys.readouterr().err


def test_a_file_for_another_model_is_refused_before_anything_starts(tmp_path, capsys):
    (tmp_path / "requests.jsonl").write_text(line(1).replace('"demo"', '"gpt-4o-mini"'))
    assert main(words(tmp_path / "requests.jsonl", tmp_path / "run")) == 2
    assert capsys.readouterr().err.startswith("error: source.models: all 1 requests are for another model")
    assert not (tmp_path / "run").exists()
    assert main([*words(tmp_path / "requests.jsonl", tmp_path / "run"), "source.models=any", "dry_run=true"]) == 0


def test_another_source_is_refused_with_the_one_that_is_meant(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Hi"}\n')
    words = [
        "+strategy=batch",
        "source=file",
        f"source.path={tmp_path}/rows.jsonl",
        f"output_dir={tmp_path}/run",
        *FAST,
    ]
    assert main(words) == 2
    assert "choose source=batch" in capsys.readouterr().err
