"""Which GPUs go from one model to another, by numbers alone."""

import pytest

from synth.schedule.balance import SETTLE_S, WINDOW_S, Balance, Observed, Shift

AT_ONCE = 100
STEP_S = 5.0


class Models:
    """A run whose every record takes so many tokens of each model. Of `rates`, tokens a second of one engine that is
    full; an engine with half a batch writes half as much."""

    def __init__(self, gpus, engines, tokens, rates, movable=None, load_s=60.0):
        self.gpus, self.engines, self.tokens, self.rates = gpus, dict(engines), tokens, rates
        self.balance = Balance(gpus, movable or list(gpus))
        self.written = dict.fromkeys(gpus, 0.0)
        self.now, self.load_s = 0.0, load_s
        self.loading = set()

    def pace(self):
        return min(self.engines[name] * self.rates[name] / self.tokens[name] for name in self.gpus)

    def run(self, seconds, left=1e6):
        """What was decided, and when. Each decision is made so at once."""
        told, end = [], self.now + seconds
        while self.now < end:
            self.now += STEP_S
            pace, seen = self.pace(), {}
            for name, engines in self.engines.items():
                self.written[name] += STEP_S * pace * self.tokens[name]
                fill = pace * self.tokens[name] / (engines * self.rates[name])
                running = round(fill * engines * AT_ONCE)
                wanted = engines + (name in self.loading)
                seen[name] = Observed(engines, wanted, AT_ONCE, running, 0, self.written[name])
            shift = self.balance.look(self.now, seen, left, self.load_s)
            if shift:
                told.append(shift)
                block = max(self.gpus[shift.giver], self.gpus[shift.taker])
                self.engines[shift.giver] -= round(shift.blocks * block / self.gpus[shift.giver])
                self.engines[shift.taker] += round(shift.blocks * block / self.gpus[shift.taker])
        return told


def of_two(main, judge, tokens=(100.0, 100.0), **more):
    rates = {"main": 1000.0, "judge": 1000.0}
    wants = dict(zip(rates, tokens, strict=True))
    return Models({"main": 1.0, "judge": 1.0}, {"main": main, "judge": judge}, wants, rates, **more)


def test_gpus_go_to_the_model_that_others_wait_for_until_both_are_full():
    run = of_two(15, 1, tokens=(100.0, 300.0))
    shifts = run.run(1200.0)
    assert run.engines == {"main": 4, "judge": 12}
    assert {(shift.giver, shift.taker) for shift in shifts} == {("main", "judge")}


def test_what_an_engine_can_do_is_a_guess_before_it_was_full_so_half_the_way_is_gone_first():
    assert of_two(15, 1, tokens=(100.0, 300.0)).run(50.0) == [Shift("main", "judge", 6)]


def test_a_division_that_suits_stays_as_it_is():
    assert not of_two(4, 12, tokens=(100.0, 300.0)).run(3600.0)
    assert not of_two(5, 11, tokens=(100.0, 210.0)).run(3600.0)  # a move would gain less than it may cost


def test_a_mix_that_changes_is_followed():
    run = of_two(15, 1, tokens=(100.0, 300.0))
    run.run(1200.0)
    run.tokens = {"main": 300.0, "judge": 100.0}
    run.run(1800.0)
    assert run.engines == {"main": 12, "judge": 4}


def test_an_engine_of_four_gpus_is_given_for_four_of_one():
    run = Models(
        {"main": 4.0, "judge": 1.0}, {"main": 15, "judge": 4}, {"main": 100, "judge": 100}, {"main": 1e3, "judge": 5e2}
    )
    run.run(1800.0)
    assert run.engines == {"main": 11, "judge": 20}


def test_the_last_engine_of_a_model_stays():
    run = of_two(2, 1, tokens=(1.0, 1000.0))
    run.run(1800.0)
    assert run.engines == {"main": 1, "judge": 2}


def test_models_with_a_number_of_their_own_keep_it():
    rates = dict.fromkeys(("main", "judge", "tagger"), 1000.0)
    tokens = {"main": 100.0, "judge": 400.0, "tagger": 1.0}
    run = Models(dict.fromkeys(rates, 1.0), {"main": 6, "judge": 1, "tagger": 1}, tokens, rates, ["main", "tagger"])
    assert not run.run(1800.0)


def test_a_small_gain_is_measured_for_longer_than_a_large_one():
    assert not of_two(8, 8, tokens=(100.0, 125.0)).run(SETTLE_S + WINDOW_S / 2)
    assert of_two(8, 8, tokens=(100.0, 125.0)).run(SETTLE_S + 2 * WINDOW_S)
    assert of_two(15, 1, tokens=(100.0, 300.0)).run(SETTLE_S + WINDOW_S / 2)


def test_nothing_is_decided_while_an_engine_loads_or_before_the_batches_are_what_they_will_be():
    run = of_two(15, 1, tokens=(100.0, 300.0))
    run.loading = {"judge"}
    assert not run.run(1800.0)
    run.loading = set()
    assert not run.run(SETTLE_S)
    assert run.run(30.0)


def test_near_its_end_a_run_stays_as_it_is():
    assert not of_two(15, 1, tokens=(100.0, 300.0)).run(1800.0, left=61.0)
    assert of_two(15, 1, tokens=(100.0, 300.0)).run(1800.0, left=600.0)


def test_a_mix_that_swings_to_and_fro_moves_gpus_less_and_less_often():
    run, moves = of_two(8, 8), []
    for swing in range(40):
        run.tokens = {"main": 100.0, "judge": 300.0} if swing % 2 else {"main": 300.0, "judge": 100.0}
        moves.append(len(run.run(300.0)))
    assert sum(moves[:8]) > sum(moves[-8:])


@pytest.mark.parametrize("idle", [0.0, 0.5])
def test_where_no_model_is_full_more_gpus_for_one_would_not_help(idle):
    run = of_two(8, 8)
    run.pace = lambda: idle * 80.0
    assert not run.run(1800.0)
