"""A whole run over a chat API, in Ray: a rate limit on the way, what it costs, and where that is told.

The server is a fake that speaks real HTTP, in a thread of its own.
"""

import json

import pytest
from datasets import load_from_disk

from synth import inspect, run
from tests.engines.fake_server import error, serving_in_a_thread

RECORDS = 40
PRICE = "engine.price_per_million_tokens={prompt: 100, cached: 10, completion: 1000}"
COST = RECORDS * (7 * 100 + 2 * 1000) / 1e6  # the server tells 7 tokens read and 2 written for each


@pytest.fixture(scope="module")
def server():
    with serving_in_a_thread([{"id": "large", "owned_by": "somebody"}]) as fake:
        yield fake


@pytest.fixture(scope="module")
def words(server, tmp_path_factory):
    seeds = tmp_path_factory.mktemp("seeds") / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"instruction": f"Say {n}."}) + "\n" for n in range(RECORDS)))
    of_server = ["engine=openai_chat", f"engine.base_url={server.url}", "model.path=large", "engine.max_num_seqs=8"]
    return ["+strategy=text_generation", f"source.path={seeds}", "source=file", "num_records=all", *of_server, PRICE]


@pytest.fixture(scope="module")
def folder(server, words, tmp_path_factory):
    """That of a run whose server refuses the first eight requests for a second."""
    folder = tmp_path_factory.mktemp("run") / "run"
    server.replies = [error(429, "slow down", Retry_After="1")] * 8
    assert run.main([*words, f"output_dir={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_a_rate_limit_costs_no_record_and_rejects_none(folder, server):
    rows = load_from_disk(str(folder / "dataset"))
    assert [row["instruction"] for row in rows] == [f"Say {n}." for n in range(RECORDS)]
    assert {row["response"] for row in rows} == {"words"} and {row["model"] for row in rows} == {"large"}
    assert rows[0]["usage"] == {"prompt_tokens": 7, "cached_tokens": 0, "completion_tokens": 2}
    assert len(server.bodies) == RECORDS + 8
    assert "is at its rate limit, no request for 1" in (folder / "logs" / "worker-0.log").read_text()


@pytest.mark.slow
def test_what_tokens_cost_is_told_by_model_in_the_numbers_the_terminal_the_report_and_the_card(folder, capsys):
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["cost_of_tokens"] == {"main": pytest.approx(COST)} and last["cost"] == pytest.approx(COST)
    assert inspect.main([str(folder)]) == 0
    expected = f"cost {COST:.2f} (tokens of main {COST:.2f})"
    assert expected in " ".join(capsys.readouterr().out.split())
    assert expected in (folder / "report.html").read_text()
    assert f"| cost of the tokens of `main` | {COST:.3f} |" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_a_plan_tells_what_tokens_will_cost_by_a_run_before(folder, words, capsys, tmp_path):
    assert run.main([*words, "source.repeat=10", f"output_dir={tmp_path}/new", "dry_run=true"]) == 0
    most = f"{10 * RECORDS * 1024 * 1000 / 1e6:,.2f}"
    assert f"price     main: at most {most} for generated tokens, and 100 per" in capsys.readouterr().out
    more = ["source.repeat=10", f"output_dir={tmp_path}/new", f"estimate_from={folder}"]
    assert run.main([*words, *more, "dry_run=true"]) == 0
    assert f"cost      {10 * COST:.2f} for the tokens of main" in capsys.readouterr().out
