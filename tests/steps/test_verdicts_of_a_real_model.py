"""Verdicts of a small real model: all can be read, and they differ. Whether they are right is another matter."""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from synth.engines import Sampling
from synth.quality.asking import asks
from synth.records import Rejection
from synth.steps.endpoints import Endpoint
from synth.steps.evol_instruct import EvolInstruct
from synth.steps.judge import SCHEMA, Judge
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "quality/labelled.jsonl").read_text().splitlines()]
SHORT = [row for row in ROWS if row["instruction_usable"] and len(row["response"]) < 700][:16]


@pytest.fixture
def handle(real_engine):
    template = real_engine.model.load_chat_template()
    return lambda id, ledger=None: LLM(
        {"main": Endpoint(real_engine, template, "real")}, ledger or Ledger(), 0, str(id), "step"
    )


async def test_judgements_can_be_read_and_differ(handle):
    judged = await asyncio.gather(*(Judge().verdict(row, handle(row["key"])) for row in SHORT))
    assert not [one.failure for one in judged if one.failure]
    assert len({one.score for one in judged}) > 1
    assert all(one.reason for one in judged)


async def test_an_evolved_instruction_asks_for_something(handle):
    step = EvolInstruct(rounds=1, answers="none", evolve=Sampling(temperature=0.7, max_tokens=100))
    ledgers = [Ledger() for _ in SHORT]

    async def evolve(row, ledger):
        try:
            return await step({"instruction": row["instruction"]}, handle(row["key"], ledger))
        except Rejection as rejection:
            return rejection

    evolved = await asyncio.gather(*map(evolve, SHORT, ledgers))
    assert not any("no_verdict" in str(ledger.lineage) for ledger in ledgers)
    kept = [one["instruction"] for one in evolved if not isinstance(one, Rejection)]
    assert kept and all(map(asks, kept))


async def test_where_the_template_opens_a_thought_the_model_thinks_first_and_is_held_after_that(real_engine, tmp_path):
    heading = "<|im_start|>assistant\n"
    opens = (Path(real_engine.model.path) / "chat_template.jinja").read_text().replace(heading, f"{heading}<think>\n")
    (tmp_path / "thinking.jinja").write_text(opens)  # as the templates of Qwen3 and DeepSeek do
    model = dataclasses.replace(real_engine.model, chat_template=str(tmp_path / "thinking.jinja"))
    template, ledger = model.load_chat_template(), Ledger()
    llm = LLM({"main": Endpoint(real_engine, template, "real")}, ledger, 0, "0", "step")
    asked, greedy = "Is a bee an insect? Say why.", Sampling(temperature=0.0, max_tokens=48)
    verdict, judgement, free = await asyncio.gather(
        llm.chat(asked, greedy, choice=("Yes", "No")),
        llm.chat(asked, greedy, json_schema=SCHEMA, max_tokens=200),
        llm.chat(asked, greedy),
    )
    assert verdict.text in ("Yes", "No")
    assert json.loads(judgement.text).keys() == {"reason", "score"}
    assert template.spelled(verdict.token_ids).endswith(f"\n</think>\n\n{verdict.text}")
    assert verdict.reasoning and judgement.reasoning and judgement.reasoning.startswith(verdict.reasoning[:20])
    assert free.reasoning.startswith(verdict.reasoning[:20]) and not free.text  # its thoughts were cut
