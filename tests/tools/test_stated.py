"""Whether an answer states what a call returned."""

import pytest

from synth.tools.stated import states


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("It is 42.16 km.", {"value": 42.1648128, "unit": "kilometre"}),
        ("That is 12,500 in all.", 12500),
        ("About 42 km.", 42.1648128),
        ("The capital is Nairobi!", {"capital": "Nairobi", "currency": "KES"}),
        ("Yes, it is one.", {"is_prime": True}),
        ("No.", False),
        ("The factors are 17 and 23.", [17, 23]),
        ("In hex: #FA8072", {"colour": "#fa8072"}),
        ("Nothing came back.", None),
        ("-3 degrees", -3),
    ],
)
def test_it_does(answer, result):
    assert states(answer, result)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("It is 43 km.", {"value": 42.1648128}),
        ("It is 4.", 42.1648128),
        ("About 40 km.", 42.1648128),
        ("I called the function.", {"capital": "Nairobi"}),
        ("The factors are 17 and 19.", [17, 23]),
        ("12 and 500", 12500),
        ("3 degrees", -3),
        ("It is not one.", {"is_prime": True}),
    ],
)
def test_it_does_not(answer, result):
    assert not states(answer, result)
