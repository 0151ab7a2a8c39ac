"""A sampling that an engine would refuse at the first record is refused when it is made."""

import math

import pydantic
import pytest

from synth.engines import Sampling


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("temperature", [-0.1, 2.1, math.inf, math.nan]),
        ("presence_penalty", [-2.1, 2.1, math.nan]),
        ("frequency_penalty", [-2.1, 2.1, math.nan]),
        ("repetition_penalty", [0, -1, math.inf]),
        ("top_p", [0, 1.1]),
        ("min_p", [-0.1, 1.1]),
        ("max_tokens", [0]),
        ("stop", [("",)]),
    ],
)
def test_values_that_no_engine_takes_are_refused_by_their_key(key, values):
    for value in values:
        with pytest.raises(pydantic.ValidationError, match=key):
            Sampling(**{key: value})


def test_the_bounds_themselves_are_taken():
    Sampling(temperature=2.0, presence_penalty=-2.0, frequency_penalty=2.0, top_p=1.0, min_p=0.0)
