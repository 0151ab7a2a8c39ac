"""An engine's time, shared out among the requests that it answers."""

import asyncio

import pytest

from synth.engines import Answer, EngineStats, Sampling
from synth.engines.simulated import Simulated
from synth.schedule.usage import FairShareTime, UsageMeter


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_requests_side_by_side_share_every_second_evenly(clock):
    time = FairShareTime(8, clock)
    first = time.join()
    clock.now = 2
    second = time.join()
    clock.now = 6
    assert time.leave(first) == 2 + 4 / 2
    clock.now = 7
    assert time.leave(second) == 4 / 2 + 1
    assert time.busy == 7


def test_a_request_that_waits_for_its_turn_takes_nothing(clock):
    time = FairShareTime(1, clock)
    first, second, third = time.join(), time.join(), time.join()
    clock.now = 3
    assert time.leave(second) == 0  # given up
    assert time.leave(first) == 3
    clock.now = 4
    assert time.leave(third) == 1


def test_time_without_requests_is_no_ones(clock):
    time = FairShareTime(8, clock)
    clock.now = 5
    one = time.join()
    clock.now = 6
    assert (time.leave(one), time.busy) == (1, 1)


async def test_the_shares_of_all_requests_add_up_to_the_busy_time():
    engine = Simulated(max_num_seqs=4, tokens_per_second=5000, first_token_s=0.001)
    await engine.start()
    meter = UsageMeter(engine)
    requests = [meter.of_a_record().generate([1, 2], Sampling(seed=seed)) for seed in range(40)]
    answers = await asyncio.gather(*requests)
    assert sum(answer.engine_seconds for answer in answers) == pytest.approx(meter.engine_seconds)


class Written(Simulated):
    """Its tokens are written when the test says so: those that it has `written`, and answers of three tokens."""

    async def start(self):
        await super().start()
        self.written, self.go_on = EngineStats(generated=5.0), asyncio.Event()

    async def generate(self, prompt, sampling):
        await self.go_on.wait()
        return Answer([0] * 3, "stop", len(prompt))

    def stats(self):
        return self.written


async def test_tokens_are_counted_while_they_are_written():
    engine = Written()
    await engine.start()
    meter = UsageMeter(engine)
    record, other = meter.of_a_record(), meter.of_a_record()
    calls = [asyncio.create_task(one.generate([1], Sampling())) for one in (record, other)]
    await asyncio.sleep(0)
    engine.written.generated += 4
    assert meter.completion_tokens == 4
    assert (record.written, other.written) == (2, 2)
    engine.go_on.set()
    await asyncio.gather(*calls)
    assert (record.written, other.written) == (3, 3)  # what its answer says


async def test_of_an_engine_that_tells_of_none_tokens_are_counted_when_an_answer_is_there():
    engine = Written()
    await engine.start()
    engine.written.generated = None
    meter = UsageMeter(engine)
    call = asyncio.create_task(meter.of_a_record().generate([1], Sampling()))
    await asyncio.sleep(0)
    assert meter.completion_tokens == 0
    engine.go_on.set()
    await call
    assert meter.completion_tokens == 3


async def test_an_answer_is_watched_where_the_engine_can_be():
    engine, plain = Simulated(median_tokens=500, sigma=0, tokens_per_second=1e6, first_token_s=0), Written()
    for one in (engine, plain):
        await one.start()
    plain.go_on.set()
    asked = [
        UsageMeter(one).of_a_record().generate([1], Sampling(seed=1), lambda *answer: True) for one in (engine, plain)
    ]
    answers = await asyncio.gather(*asked)
    assert [(answer.finish_reason, len(answer.token_ids)) for answer in answers] == [("abort", 32), ("stop", 3)]


async def test_a_request_that_fails_takes_time_too():
    class Failing(Simulated):
        async def generate(self, prompt, sampling):
            await asyncio.sleep(0.01)
            raise RuntimeError("no")

    engine = Failing()
    await engine.start()
    meter = UsageMeter(engine)
    with pytest.raises(RuntimeError):
        await meter.of_a_record().generate([1], Sampling())
    assert meter.engine_seconds > 0
