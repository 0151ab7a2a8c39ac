"""For how long replicas and GPUs were held, and what that cost."""

import pytest

from synth.engines.price import Price
from synth.report.reserved import NOTHING, Reserved, ReservedTime, reserved_by


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def reserved(price=None, looks=((1800, 2, 8),)):
    clock = Clock()
    time = ReservedTime(price, clock)
    for seconds, replicas, gpus in looks:
        clock.now += seconds
        found = time.look(replicas, gpus)
    return found


def test_all_gpus_of_all_replicas_are_counted():
    assert reserved() == Reserved(3600, 4 * 3600)
    assert reserved(looks=[(10, 2, 2), (5, 3, 3), (5, 0, 0)]) == Reserved(35, 35)


def test_the_cost_is_that_of_the_gpu_hours():
    assert reserved(2.5) == Reserved(3600, 4 * 3600, 10.0)
    assert reserved(2.5).cost_of_a_thousand(500) == 20


def test_without_a_price_or_without_gpus_there_is_no_cost():
    assert reserved().cost is None
    assert reserved(2.5, [(10, 1, 0)]) == Reserved(10, 0, None)
    assert reserved(2.5).cost_of_a_thousand(0) is None
    assert NOTHING.cost_of_a_thousand(10) is None


def test_tokens_of_servers_cost_too_and_are_told_by_model():
    clock = Clock()
    time = ReservedTime(None, clock)
    time.look(1, 0, {"judge": 0.5})
    clock.now = 10
    assert time.look(1, 0, {"judge": 1.5, "main": 0.012}) == Reserved(10, 0, 1.512, {"judge": 1.5, "main": 0.012})
    both = Reserved(1, 1, 4.0) + Reserved(1, 1, 1.0, {"judge": 1.0}) + Reserved(1, 1, 0.5, {"judge": 0.5})
    assert both == Reserved(3, 3, 5.5, {"judge": 1.5})
    assert both.format_cost() == "cost 5.50 (tokens of judge 1.50)"
    assert Reserved(cost=0.0123, cost_of_tokens={"main": 0.0123}).format_cost() == "cost 0.012 (tokens of main 0.012)"
    lines = [{"started": 1.0, "replica_seconds": 5, "cost": 0.25, "cost_of_tokens": {"judge": 0.25}}]
    assert reserved_by(lines) == Reserved(5, 0, 0.25, {"judge": 0.25})


def test_tokens_that_a_server_had_in_its_cache_have_a_price_of_their_own():
    price = Price(prompt=2.0, cached=0.5, completion=8.0)
    assert price.of(3e6, 1e6, 2e6) == 2 * 2 + 0.5 + 2 * 8
    assert Price(prompt=2.0, completion=8.0).of(3e6, 1e6, 0) == 6


def test_processes_of_a_run_add_up_and_the_last_line_of_each_tells():
    def line(started, seconds, cost=None):
        return {"started": started, "replica_seconds": seconds, "gpu_seconds": 2 * seconds, "cost": cost}

    lines = [line(1.0, 5, 0.5), line(1.0, 7, 0.75), line(9.0, 1), {"kept": 3}, line(20.0, "broken")]
    assert reserved_by(lines) == Reserved(8, 16, 0.75)
    assert reserved_by([]) == NOTHING


@pytest.mark.parametrize("replicas", [0, 1])
def test_time_before_the_first_look_is_counted_for_what_is_held_then(replicas):
    assert reserved(looks=[(3, replicas, 0)]).replica_seconds == 3 * replicas
