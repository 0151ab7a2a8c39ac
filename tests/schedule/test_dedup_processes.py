"""DedupKeys in processes of their own, whose stand-ins here take and give what comes by pickle, as Ray does."""

import asyncio
import pickle
from typing import ClassVar

import pytest

from synth.quality.duplicates import Part
from synth.quality.exact_duplicate import ExactMatches
from synth.records import DedupKey
from synth.schedule import dedup_processes
from synth.schedule.dedup_processes import DedupProcesses, Line
from synth.schedule.shared import SharedLost
from tests.schedule.test_claimed_run import Run, assert_same, everything, in_order, short_pauses

__all__ = ["everything", "in_order", "short_pauses"]


class SpreadMatches(ExactMatches):
    """Keys that are alike where they are equal, divided by records all the same."""

    by_key = False


class FakeProcess:
    """A SharedProcess that is here."""

    there: ClassVar[list] = []

    def __init__(self, name, kind, *arguments, calls, anywhere=False, number=None):
        self._number = len(self.there) if number is None else number
        if number is None:
            self.there.append(kind(*pickle.loads(pickle.dumps(arguments))))

    def __reduce__(self):
        return _known, (self._number,)

    def __getattr__(self, method):
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*arguments):
            await asyncio.sleep(0)
            method_there = getattr(self.there[self._number], method)
            return pickle.loads(pickle.dumps(await method_there(*pickle.loads(pickle.dumps(arguments)))))

        return call


def _known(number):
    return FakeProcess("", None, calls=0, number=number)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeProcess, "there", [])
    monkeypatch.setattr(dedup_processes, "SharedProcess", FakeProcess)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("matches", [ExactMatches, SpreadMatches])
async def test_the_dataset_is_that_of_one_pass_in_any_number_of_processes(tmp_path, in_order, fake, count, matches):
    run = Run(tmp_path, 3, 3, workers=lambda index, lost: {"lives": 2 + index} if lost < 2 else {})
    steps = list(run.config.strategy.duplicates)
    run.claims = DedupProcesses.of(dict.fromkeys(steps, matches()), count, tmp_path, "fingerprint", [])
    run.claims = pickle.loads(pickle.dumps(run.claims))
    assert_same(await run.go(), in_order)
    assert sum(isinstance(one, Part) for one in FakeProcess.there) == (count if count > 1 else 0)


async def test_a_run_that_goes_on_may_have_another_number_of_processes(tmp_path, in_order, fake):
    for count, wanted in ((3, 20), (1, 30), (2, None)):
        run = Run(tmp_path, 2, 4)
        steps = list(run.config.strategy.duplicates)
        shards = list(run.plan.shards)
        run.claims = DedupProcesses.of(dict.fromkeys(steps, ExactMatches()), count, tmp_path, "fingerprint", shards)
        running = asyncio.create_task(run.go())
        while wanted and not running.done() and run.plan.kept < wanted:
            await asyncio.sleep(0.01)
        if wanted:
            run.scheduler.stop()
        await running
    assert_same(run, in_order)


class Slow:
    """Answers when it is let, and notes how many claims came in each call."""

    def __init__(self):
        self.calls, self.let = [], asyncio.Event()

    async def claim(self, claims):
        self.calls.append(len(claims))
        await self.let.wait()
        if any(claim.key == b"bad" for claim in claims):
            raise SharedLost("gone")
        return [(claim.place[0] - 1,) for claim in claims]


def asking(line, number, key=b"key"):
    return asyncio.create_task(line.ask(DedupKey("step", (number,), key)))


async def test_claims_that_come_while_a_call_is_under_way_go_together_in_the_next():
    slow = Slow()
    line = Line(slow, "claim")
    first = asking(line, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asking(line, number) for number in range(2, 6)]
    await asyncio.sleep(0)
    others[0].cancel()
    slow.let.set()
    assert [await task for task in (first, *others[1:])] == [(0,), (2,), (3,), (4,)]
    assert slow.calls == [1, 4]


async def test_all_who_wait_hear_of_a_process_that_is_gone():
    slow = Slow()
    slow.let.set()
    line = Line(slow, "claim")
    tasks = [asking(line, number, b"bad") for number in range(3)]
    for task in tasks:
        with pytest.raises(SharedLost):
            await task
