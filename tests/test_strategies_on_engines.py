"""Every shipped strategy on every real engine: the demonstration model on vLLM, on a server, and on Transformers."""

import dataclasses

import pytest
import pytest_asyncio

from synth.engines.transformers import Transformers
from synth.models.model import Model
from synth.records import record_id
from synth.trials.side_by_side import SharedEngine
from tests.strategies import STRATEGIES, composed, made, requests

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

RECORDS = 3
BEYOND_THE_DEMO = {"evol_instruct", "evol_instruct_judged", "self_instruct", "self_instruct_context"}  # it can't copy
BEYOND_THE_DEMO |= {f"magpie_filtered_{recipe}" for recipe in ("pro", "air", "mt", "reasoning")}  # its tags are guesses
BEYOND_THE_DEMO |= {
    "rejection_sampling",
    "math_reasoning",
    "math_tool_reasoning",
    "code_reasoning",
}  # it is right in 3 sums of 100
BEYOND_THE_DEMO |= {"ultrafeedback"}  # it has not learnt to rate
BEYOND_THE_DEMO |= {"constraints", "persona", "tool_use", "grounded_qa"}  # nor to do as it is told
MODEL = Model(path="demo", name="synth-demo", dtype="float32")
INSTRUCTIONS = {"instruction": ["Name a bee.", "What is 3 + 4?", "Write about rain."]}
SUMS = {"instruction": ["What is 3 + 4?", "What is 20 + 30?", "What is 12 + 7?"], "answer": ["7", "50", "19"]}
SOURCES = {
    "batch": requests(INSTRUCTIONS["instruction"]),
    "rejection_sampling": SUMS,
    "evol_instruct": INSTRUCTIONS,
    "evol_instruct_judged": INSTRUCTIONS,
    "text_generation": INSTRUCTIONS,
    "instruct_and_respond": {"topic": ["bees", "rain", "sums"]},
    "self_instruct_context": {"context": ["Bees make honey.", "Rain falls in May.", "Three and four are seven."]},
    "grounded_qa": {"context": ["Bees make honey.", "Rain falls in May."] * 2, "related": ["Honey is sweet."] * 4},
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def transformers():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = Transformers(model=MODEL, max_num_seqs=8, device="cpu")
    await engine.start()
    yield engine
    await engine.stop()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", params=["vllm", "openai", "transformers"])
def running(request):
    fixtures = {"vllm": "engine", "openai": "openai_engine"}
    return SharedEngine(request.getfixturevalue(fixtures.get(request.param, request.param)))


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_strategy_runs_on_an_engine(strategy, running, tmp_path):
    config = composed(strategy, tmp_path / "run", RECORDS, SOURCES.get(strategy), "model.dtype=float32")
    summary, kept, rejected = await made(dataclasses.replace(config, engine=running), tmp_path / "run", RECORDS)
    assert (summary.kept, summary.rejected) == (len(kept), len(rejected))
    assert {row["id"].split("/")[0] for row in kept + rejected} == {record_id(number) for number in range(RECORDS)}
    declared = {reason for step in config.strategy.steps for reason in step.function.rejections}
    assert {row["reason"] for row in rejected} <= declared
    assert all(row["usage"]["completion_tokens"] for row in kept)
    if strategy not in BEYOND_THE_DEMO:
        assert kept
