"""Whole runs with strata, workers in this process: so many rows of each as asked for, and those of one pass over all
records in their order, on any topology, whatever is lost or killed.

The engine is scripted. Whether a record is kept is drawn, too, so that a test knows what one pass leaves.
"""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.components.instantiate import build
from synth.records import Rejection
from synth.schedule import scheduler as module
from synth.sources import Source
from synth.strata import Remaining, Strata
from tests.schedule.local import LocalRun
from tests.schedule.test_claimed_run import Repeating

WANTED = 40
GRID = {
    "_target_": "synth.sources.grid.Grid",
    "draw": {
        "category": {"math": 5, "code": 3, "art": 1},
        "level": {"given": "category", "cases": {"art": ["easy"]}, "otherwise": {"easy": 2, "hard": 1}},
        "luck": {"min": 0.0, "max": 1.0},
    },
}
MAGPIE = {"_target_": "synth.steps.magpie.Magpie", "only_instruction": True}
ONE = {"category": {"math": 10, "code": 0.5}}
TWO = {"category": {"math": 10, "art": 6}, "level": {"hard": 0.3}}


async def by_luck(record, llm, rate):
    """A filter that keeps a share of the records."""
    return record if record["luck"] < rate else Rejection("unlucky")


async def tagged(record, llm):
    """What is only known after a step: a label of its own."""
    return record | {"tag": "x" if record["luck"] < 0.3 else "y"}


tagged.columns = {"tag": "string"}
by_luck.columns = {}
BY_LUCK = {"_target_": f"{__name__}.by_luck"}
TAGGED = {"_target_": f"{__name__}.tagged"}


class Engines(list):
    def __call__(self):
        self.append(Repeating())
        return self[-1]

    @property
    def calls(self):
        return sum(engine.calls for engine in self)


def run(folder, strata, steps, engine=None, **given):
    return LocalRun(folder, steps, engine or Engines(), WANTED, strata=strata, source=GRID, num_records=WANTED, **given)


def one_pass(strata, rate=1.0):
    """The ids that one pass over all records takes."""
    source, remaining, taken = build(GRID, "source", Source), Remaining(spec := Strata.parse(strata, WANTED)), []
    for number in range(10**5):
        row = source.drawn(0, number, [])
        row["tag"] = "x" if row["luck"] < 0.3 else "y"
        if row["luck"] < rate and remaining.take(spec.labels(row)):
            taken.append(str(number))
        if len(taken) == WANTED:
            return taken
    raise AssertionError("never filled")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "STOP_GRACE_S", 1)


@settings(max_examples=20, deadline=None)
@given(
    strata=st.sampled_from([ONE, TWO, {"level": {"hard": 40}}, {"category": {"art": 3}}]),
    rate=st.sampled_from([1.0, 0.6, 0.2]),
    replicas=st.integers(1, 4),
    shard_size=st.integers(1, 20),
    in_flight=st.sampled_from([1, 4, 32]),
    lives=st.sampled_from([10**9, 3]),
    killed_after=st.sampled_from([None, 0.05, 0.3]),
)
def test_strata_are_exact_and_the_rows_those_of_one_pass(
    strata, rate, replicas, shard_size, in_flight, lives, killed_after
):
    steps = [MAGPIE, BY_LUCK | {"rate": rate}]
    given = {"replicas": replicas, "shard_size": shard_size, "in_flight": in_flight}
    given["workers"] = lambda index, count: {"lives": lives} if count < 2 else {}

    async def go(folder):
        if killed_after is not None:
            begun = run(folder, strata, steps, **given)
            asyncio.get_running_loop().call_later(killed_after, begun.scheduler.stop)
            await begun.go()
        return await run(folder, strata, steps, **given).go()

    with tempfile.TemporaryDirectory() as folder:
        ended = asyncio.run(go(Path(folder)))
        rows = ended.rows
    assert ended.plan.done
    assert [row["id"] for row in rows] == one_pass(strata, rate)
    for column, wanted in Strata.parse(strata, WANTED).rows.items():
        found = Counter(row[column] if row[column] in wanted else "(others)" for row in rows)
        assert found == Counter(wanted)


async def test_records_of_a_full_stratum_are_skipped_without_a_call(tmp_path):
    engines = Engines()
    ended = await run(tmp_path, {"category": {"art": 20, "math": 20}}, [MAGPIE], engines, in_flight=1).go()
    made = int(ended.rows[-1]["id"]) + 1
    skipped = [row for row in ended.rejected if row["rejected_by"] == "skip_full"]
    assert made > 100 and len(skipped) > made / 2
    assert engines.calls < made / 2
    assert all(row["reason"] == "stratum_full" and not row["usage"]["completion_tokens"] for row in skipped)


@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_column_that_a_step_adds_is_counted_when_it_is_known(tmp_path, replicas):
    strata = {"tag": {"x": 20}, "level": {"hard": 10}}
    ended = await run(tmp_path, strata, [MAGPIE, TAGGED], replicas=replicas).go()
    assert [row["id"] for row in ended.rows] == one_pass(strata)
    late = [row for row in ended.rejected if row["rejected_by"] == "strata"]
    assert late and {row["reason"] for row in late} == {"stratum_full"}


async def test_a_stratum_that_is_never_kept_ends_the_run_when_that_is_known(tmp_path):
    steps = [MAGPIE, {"_target_": f"{__name__}.no_art"}]
    ended = await run(tmp_path, {"category": {"art": 5}}, steps, in_flight=32).go()
    assert ended.plan.hopeless and not ended.plan.done
    assert len(ended.rows) == WANTED - 5


async def no_art(record, llm):
    return Rejection("art") if record["category"] == "art" else record


no_art.columns = {}


async def test_a_committed_shard_says_what_it_has_of_each_stratum(tmp_path):
    ended = await run(tmp_path, ONE, [MAGPIE]).go()
    counts = Counter()
    for summary in ended.summaries:
        counts.update(summary.strata["category"])
    assert counts == Counter({"math": 10, "code": 20, "(others)": 10})
