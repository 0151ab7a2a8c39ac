"""Every shipped strategy on a real chat model, SmolLM2-135M-Instruct in vLLM: what is kept is worth a look.

A model of this size is a weak writer. What is asserted is what a technique is responsible for: how much it keeps, that
no words of its prompts and no control tokens are in the rows, that verdicts vary.
"""

import asyncio
import dataclasses
import os
import json

import pytest
import pytest_asyncio

from tests.strategies import STRATEGIES, Shared, composed, made

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

INSTRUCTIONS = [
    "Explain how bees make honey.",
    "Write a short poem about rain in May.",
    "What are three good habits for saving money?",
    "Describe the water cycle to a child.",
    "Give me a recipe for a simple vegetable soup.",
    "How do I write a polite email to my landlord about a broken heater?",
    "Name the planets of the solar system in order.",
    "Suggest a plan for learning to play the guitar.",
]
CONTEXTS = [
    "Honeybees collect nectar from flowers and store it in the comb, where they fan it with their wings until it thickens.",
    "The public library is open from nine to six on weekdays. Members may borrow ten books for four weeks.",
    "A vegetable garden needs six hours of sun a day, loose soil and regular water. Tomatoes want a stake.",
    "The Rhine rises in the Swiss Alps and flows through Basel, Cologne and Rotterdam into the North Sea.",
]
SOURCES = {
    "evol_instruct": {"instruction": INSTRUCTIONS},
    "evol_instruct_judged": {"instruction": INSTRUCTIONS},
    "text_generation": {"instruction": INSTRUCTIONS},
    "instruct_and_respond": {"topic": ["gardening", "saving money", "the history of trains", "healthy breakfasts"] * 2},
    "self_instruct_context": {"context": CONTEXTS},
}
RECORDS = {"magpie": 12, "magpie_filtered": 12, "self_instruct": 12, "preference": 6}


class ShortAnswers(Shared):
    """The engine, with answers that a test has time for: no more than some tokens, and of all of the vocabulary, which
    a CPU would sort at every step for a top_p."""

    async def generate(self, prompt, sampling):
        most = min(sampling.max_tokens, 160)
        return await self._engine.generate(prompt, dataclasses.replace(sampling, max_tokens=most, top_p=1.0))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def runs(real_engine, real_model_folder, tmp_path_factory):
    """All strategies side by side in one engine: what each has made."""
    root = tmp_path_factory.mktemp("runs")
    words = ["model=smollm2-135m-instruct", f"model.path={real_model_folder}", "model.dtype=bfloat16"]

    async def one(strategy):
        records = len(next(iter(SOURCES[strategy].values()))) if strategy in SOURCES else RECORDS.get(strategy, 4)
        config = composed(strategy, root / strategy, records, SOURCES.get(strategy), *words)
        return await made(dataclasses.replace(config, engine=ShortAnswers(real_engine)), root / strategy, records)

    found = dict(zip(STRATEGIES, await asyncio.gather(*map(one, STRATEGIES)), strict=True))
    if os.environ.get("KEEP"):
        for name, m in found.items():
            open(f"{os.environ['KEEP']}/{name}.json","w").write(json.dumps({"kept": m.kept, "rejected": m.rejected}, default=str))
    return found


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_strategy_keeps_rows(strategy, runs):
    assert runs[strategy].kept
