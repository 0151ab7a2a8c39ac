"""An engine's time, shared out among the requests that it answers."""

import asyncio

import pytest

from synth.engines import Sampling
from synth.engines.simulated import Simulated
from synth.schedule.metered import Metered, SharedTime


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_requests_side_by_side_share_every_second_evenly(clock):
    time = SharedTime(8, clock)
    first = time.join()
    clock.now = 2
    second = time.join()
    clock.now = 6
    assert time.leave(first) == 2 + 4 / 2
    clock.now = 7
    assert time.leave(second) == 4 / 2 + 1
    assert time.busy == 7


def test_a_request_that_waits_for_its_turn_takes_nothing(clock):
    time = SharedTime(1, clock)
    first, second, third = time.join(), time.join(), time.join()
    clock.now = 3
    assert time.leave(second) == 0  # given up
    assert time.leave(first) == 3
    clock.now = 4
    assert time.leave(third) == 1


def test_time_without_requests_is_no_ones(clock):
    time = SharedTime(8, clock)
    clock.now = 5
    one = time.join()
    clock.now = 6
    assert (time.leave(one), time.busy) == (1, 1)


async def test_the_shares_of_all_requests_add_up_to_the_busy_time():
    engine = Simulated(max_num_seqs=4, tokens_per_second=5000, first_token_s=0.001)
    await engine.start()
    metered = Metered(engine)
    requests = [metered.generate([1, 2], Sampling(seed=seed)) for seed in range(40)]
    answers = await asyncio.gather(*requests)
    assert sum(one.engine_seconds for one in answers) == pytest.approx(metered.engine_seconds)
    assert metered.completion_tokens == sum(len(one.token_ids) for one in answers)


async def test_a_request_that_fails_takes_time_too():
    class Failing(Simulated):
        async def generate(self, prompt, sampling):
            await asyncio.sleep(0.01)
            raise RuntimeError("no")

    metered = Metered(Failing())
    with pytest.raises(RuntimeError):
        await metered.generate([1], Sampling())
    assert metered.engine_seconds > 0.009
