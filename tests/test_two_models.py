"""Two real models in one chain: the demonstration model writes, a larger one judges."""

import asyncio

import pyarrow as pa
import pytest

from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.judge import Judge
from synth.steps.magpie import Magpie
from synth.steps.strategy import Step, Strategy

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_two_real_models_make_a_row_together_and_each_is_named(engine, real_engine):
    judge = Judge(on_failure="keep", model="judge")
    columns = {"judge_score": pa.int64(), "judge_reason": pa.string()}
    chain = Strategy("judged", [Step("magpie", Magpie(), {}), Step("judge", judge, columns)], {})
    endpoints = {
        "main": Endpoint(engine, engine.model.load_chat_template(), "demo"),
        "judge": Endpoint(real_engine, real_engine.model.load_chat_template(), "real"),
    }
    finished = await asyncio.gather(*(run_record(number, {}, Context(chain, endpoints, 0)) for number in range(6)))
    rows = [row for one in finished for row in one.kept]
    assert {row["model"] for row in rows} == {"demo"} and len(rows) >= 4
    assert {round["model"] for row in rows for round in row["lineage"]} == {"demo"}
    assert sum(row["judge_score"] in range(1, 6) for row in rows) >= len(rows) - 1
