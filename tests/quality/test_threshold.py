"""Thresholds on what other steps wrote down."""

import pytest

from synth.quality.threshold import Threshold
from tests.quality.judged import judged


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        ({"min": -10}, -10.0, None),
        ({"min": -10}, -10.5, "low_x"),
        ({"max": 4}, 4, None),
        ({"max": 4}, 5, "high_x"),
        ({"min": 0}, True, None),
        ({"among": ["good", "excellent"]}, "good", None),
        ({"among": ["good", "excellent"]}, "poor", "other_x"),
        ({"without": ["very easy"]}, "very easy", "other_x"),
        ({"without": ["very easy"]}, "hard", None),
        ({"among": [1, 2], "min": 2}, 1, "low_x"),
        ({"min": 1}, None, "no_x"),
        ({"min": 1}, float("nan"), "no_x"),
        ({"min": 1}, "many", "no_x"),
        ({"among": ["a"]}, ["a"], "other_x"),
        ({"min": 1, "on_null": "keep"}, None, None),
        ({"min": 1, "on_null": "keep"}, "many", "no_x"),
    ],
)
async def test_a_value_is_kept_or_the_reason_says_which_way_it_fails(keys, value, reason):
    assert await judged(Threshold(column="x", **keys), x=value) == reason


async def test_infinity_is_a_number():
    assert await judged(Threshold(column="x", min=0), x=float("-inf")) == "low_x"


def test_a_step_tells_of_the_reasons_that_it_can_give_alone():
    assert Threshold(column="x", min=1).rejections == ("low_x", "no_x")
    assert Threshold(column="x", min=1).needs() == [{"x": "number"}]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [({}, "set at least one"), ({"min": 2, "max": 1}, "min: is 2, above max, 1"), ({"min": float("nan")}, "min")],
)
def test_a_threshold_that_says_nothing_is_refused(keys, expected):
    with pytest.raises(ValueError, match=expected):
        Threshold(column="x", **keys)
