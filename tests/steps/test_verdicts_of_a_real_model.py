"""Verdicts of a small real model: all can be read, and they differ. Whether they are right is another matter."""

import asyncio
import json
from pathlib import Path

import pytest

from synth.engines import Sampling
from synth.quality.asking import asks
from synth.records import Rejection
from synth.steps.evol_instruct import EvolInstruct
from synth.steps.judge import Judge
from synth.steps.llm import LLM, Ledger

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "quality/labelled.jsonl").read_text().splitlines()]
SHORT = [row for row in ROWS if row["instruction_usable"] and len(row["response"]) < 700][:16]


@pytest.fixture
def handle(real_engine):
    template = real_engine.model.load_chat_template()
    return lambda id, ledger=None: LLM(real_engine, template, ledger or Ledger(), 0, str(id), "step")


async def test_judgements_can_be_read_and_differ(handle):
    judged = await asyncio.gather(*(Judge().verdict(row, handle(row["key"])) for row in SHORT))
    assert not [one.failure for one in judged if one.failure]
    assert len({one.score for one in judged}) > 1
    assert all(one.reason for one in judged)


async def test_an_evolved_instruction_asks_for_something(handle):
    step = EvolInstruct(rounds=1, answers="none", evolve=Sampling(temperature=0.7, max_tokens=100))
    ledgers = [Ledger() for _ in SHORT]

    async def evolve(row, ledger):
        return await step({"instruction": row["instruction"]}, handle(row["key"], ledger))

    evolved = await asyncio.gather(*map(evolve, SHORT, ledgers))
    assert not any("no_verdict" in str(ledger.lineage) for ledger in ledgers)
    kept = [one["instruction"] for one in evolved if not isinstance(one, Rejection)]
    assert kept and all(map(asks, kept))
