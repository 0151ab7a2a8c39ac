"""For how long replicas and GPUs were held, and what that cost."""

import pytest

from synth.report.held import NOTHING, Held, HeldTime, held_by


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def held(price=None, looks=((1800, 2, 8),)):
    clock = Clock()
    time = HeldTime(price, clock)
    for seconds, replicas, gpus in looks:
        clock.now += seconds
        found = time.look(replicas, gpus)
    return found


def test_all_gpus_of_all_replicas_are_counted():
    assert held() == Held(3600, 4 * 3600)
    assert held(looks=[(10, 2, 2), (5, 3, 3), (5, 0, 0)]) == Held(35, 35)


def test_the_cost_is_that_of_the_gpu_hours():
    assert held(2.5) == Held(3600, 4 * 3600, 10.0)
    assert held(2.5).cost_of_a_thousand(500) == 20


def test_without_a_price_or_without_gpus_there_is_no_cost():
    assert held().cost is None
    assert held(2.5, [(10, 1, 0)]) == Held(10, 0, None)
    assert held(2.5).cost_of_a_thousand(0) is None
    assert NOTHING.cost_of_a_thousand(10) is None


def test_processes_of_a_run_add_up_and_the_last_line_of_each_tells():
    def line(started, seconds, cost=None):
        return {"started": started, "replica_seconds": seconds, "gpu_seconds": 2 * seconds, "cost": cost}

    lines = [line(1.0, 5, 0.5), line(1.0, 7, 0.75), line(9.0, 1), {"kept": 3}, line(20.0, "broken")]
    assert held_by(lines) == Held(8, 16, 0.75)
    assert held_by([]) == NOTHING


@pytest.mark.parametrize("replicas", [0, 1])
def test_time_before_the_first_look_is_counted_for_what_is_held_then(replicas):
    assert held(looks=[(3, replicas, 0)]).replica_seconds == 3 * replicas
