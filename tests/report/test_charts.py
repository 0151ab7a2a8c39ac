"""The geometry of the report's pictures."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from synth.report.charts import MOST_EXITS, VERBS, edges, flow, histogram, sunburst, tallest


def bars(*values):
    values = np.array(values)
    bounds = edges([values])
    return histogram(values, bounds, tallest([values], bounds))


def test_few_whole_numbers_have_a_bar_each():
    assert [(bar.label, bar.count) for bar in bars(1, 3, 3, 5)] == [("1", 1), ("2", 0), ("3", 2), ("4", 0), ("5", 1)]


@pytest.mark.parametrize("values", [[7], [0.5, 0.5], [0.0, 1e-12], [*range(1000), 10**9], [0, 1e300], [-5, 2.5]])
def test_every_value_is_in_a_bar(values):
    drawn = bars(*values)
    assert sum(bar.count for bar in drawn) == len(values) and max(bar.height for bar in drawn) == 1


def test_the_last_bar_takes_the_stragglers():
    assert bars(*range(1000), 10**9)[-1].label.endswith("1,000,000,000")


def test_two_runs_have_one_scale():
    one, other = np.array([1, 1, 2, 3]), np.array([1, 2, 3, 4])
    bounds = edges([one, other])
    top = tallest([one, other], bounds)
    assert [bar.height for bar in histogram(other, bounds, top)] == [0.5, 0.5, 0.5, 0.5]


def test_a_flow_loses_rows_step_by_step():
    drawn = flow(["magpie", "judge"], {("magpie", "empty"): 10, ("judge", "low"): 30, ("late", "x"): 5}, 55)
    assert [(stop.name, stop.rows) for stop in drawn.stops] == [("magpie", 100), ("judge", 90), ("late", 60)]
    assert [exit.share for stop in drawn.stops for exit in stop.exits] == [0.1, 0.3, 0.05]
    assert drawn.kept.share == 0.55


def test_words_of_a_flow_stand_below_one_another_and_inside():
    drawn = flow(["a", "b"], {("a", str(n)): n + 1 for n in range(12)}, 3)
    exits = drawn.stops[0].exits
    assert len(exits) == MOST_EXITS and exits[-1].name == "5 other reasons"
    heights = [exits[0].y, *(one.y for one in exits[1:]), drawn.kept.y]
    assert all(after - before >= 20 for before, after in pairwise(heights))
    assert drawn.kept.y < drawn.height


def test_a_flow_of_nothing_is_none():
    assert flow(["a"], {}, 0) is None
    assert flow(["a"], {("a", "all"): 3}, 0).kept.share == 0


def test_a_sunburst_shows_the_commonest_verbs_and_objects():
    verbs = {f"verb{n}": Counter({f"noun{m}": n + 1 for m in range(6)}) for n in range(30)}
    arcs, shown = sunburst(verbs)
    assert len([arc for arc in arcs if not arc.outer]) == VERBS
    assert len([arc for arc in arcs if arc.outer]) == VERBS * 4
    assert shown == sum(4 * (n + 1) for n in range(10, 30))
    assert all(re.fullmatch(r"[MLAZ\d. -]+", arc.path) for arc in arcs)


def test_one_verb_alone_is_a_whole_ring():
    arcs, _ = sunburst({"write": Counter({"story": 3})})
    assert [arc.label for arc in arcs] == ["story", "write"]
