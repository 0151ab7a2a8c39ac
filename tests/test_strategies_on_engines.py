"""Every shipped strategy on every real engine: the demonstration model on vLLM, on a server, and on Transformers."""

import dataclasses
import json

import pyarrow as pa
import pytest
import pytest_asyncio

from synth.config import CONF_DIR
from synth.engines.transformers import Transformers
from synth.model import Model
from synth.records import Shard, record_id
from synth.run import main
from synth.schedule.claims import SettlingClaims
from synth.schedule.pool import GrowingPool
from synth.schedule.worker import Worker
from synth.sources.store import stored
from synth.storage.decisions import Decisions
from synth.storage.run_folder import RunFolder

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

RECORDS = 3
BEYOND_THE_DEMO = {"evol_instruct", "evol_instruct_judged", "self_instruct", "self_instruct_context"}  # it can't copy
BEYOND_THE_DEMO |= {f"magpie_filtered_{recipe}" for recipe in ("pro", "air", "mt", "reasoning")}  # its tags are guesses
MODEL = Model(path="demo", name="synth-demo", dtype="float32")
SOURCES = {
    "evol_instruct": {"instruction": ["Name a bee.", "What is 3 + 4?", "Write about rain."]},
    "evol_instruct_judged": {"instruction": ["Name a bee.", "What is 3 + 4?", "Write about rain."]},
    "text_generation": {"instruction": ["Name a bee.", "What is 3 + 4?", "Write about rain."]},
    "instruct_and_respond": {"topic": ["bees", "rain", "sums"]},
    "self_instruct_context": {"context": ["Bees make honey.", "Rain falls in May.", "Three and four are seven."]},
}
STRATEGIES = sorted(file.stem for file in (CONF_DIR / "strategy").glob("*.yaml"))


class Shared:
    """A real engine that outlives the worker that starts and stops it."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    async def start(self):
        pass

    async def stop(self):
        pass


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
    return Shared(request.getfixturevalue(fixtures.get(request.param, request.param)))


def composed(strategy, folder):
    """The configuration as the command line gives it, with answers short enough for a slow engine."""
    words = [f"+strategy={strategy}", "model.dtype=float32", f"output_dir={folder}", "num_records=3", "min_yield=0.9"]
    if strategy in SOURCES:
        path = folder.parent / "source.jsonl"
        columns = SOURCES[strategy]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        words += ["source=file", f"source.path={path}", "num_records=all"]
    if strategy == "preference":
        words.append("strategy.preference.ties=keep")
    if strategy.startswith("magpie_filtered_"):  # in place of models from the Hub
        words.append("strategy.reward.model={_target_: tests.quality.test_presets.Points, points: 0}")
        words.append("strategy.repeated.model={_target_: tests.quality.test_presets.Directions}")
    found = []
    assert main(words, work=lambda config: found.append(config) or 0) == 0
    return found[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_strategy_runs_on_an_engine(strategy, running, tmp_path):
    config = dataclasses.replace(composed(strategy, tmp_path / "run"), engine=running)
    folder = RunFolder(tmp_path / "run")
    folder.make()
    rules = config.strategy.pool
    pool = GrowingPool(rules, Decisions(folder.pool)) if rules else None
    duplicates = config.strategy.duplicates
    claims = SettlingClaims(duplicates, folder.path, "fingerprint") if duplicates else None
    with stored(config.source, folder.source) as (_, put_in_place):
        put_in_place()
    worker = Worker(config, folder.path, "fingerprint", pool, claims)
    await worker.start()
    summary = await worker.run(Shard(0, 0, RECORDS))
    await worker.stop()
    kept, rejected = (pa.ipc.open_stream(file).read_all().to_pylist() for file in (folder.shard(0), folder.rejected(0)))
    assert (summary.kept, summary.rejected) == (len(kept), len(rejected))
    assert {row["id"].split("/")[0] for row in kept + rejected} == {record_id(number) for number in range(RECORDS)}
    declared = {reason for step in config.strategy.steps for reason in step.function.rejections}
    assert {row["reason"] for row in rejected} <= declared
    assert all(row["usage"]["completion_tokens"] for row in kept)
    if strategy not in BEYOND_THE_DEMO:
        assert kept
