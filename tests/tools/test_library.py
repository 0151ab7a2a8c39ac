"""The shipped tools: each runs, is specified by a JSON Schema, and does no more than it says."""

import asyncio
import json

import pytest

from synth.tools.function import ToolError, result_of
from synth.tools.library import shipped
from synth.tools.library.arithmetic import calculate

RESULTS = {
    "calculate": {"result": 202.0},
    "convert_base": {"digits": "1011111010"},
    "convert_temperature": {"value": 176.67},
    "convert_units": {"value": 42.1648128, "unit": "kilometre"},
    "country_facts": {"capital": "Nairobi", "continent": "Africa", "currency": "KES", "calling_code": "+254"},
    "days_between": {"days": 108},
    "decode_base64": {"text": "heron"},
    "distance_between": {"kilometres": 1052.7},
    "element_facts": {"atomic_weight": 63.546},
    "factorize": {"prime_factors": [17, 23], "is_prime": False},
    "from_roman": {"number": 1744},
    "hex_to_rgb": {"red": 30, "green": 144, "blue": 255},
    "is_leap_year": {"year": 1900, "days": 365},
    "loan_payment": {"monthly_payment": 276.35, "paid_in_all": 13264.87},
    "time_between": {"hours": 8, "minutes": 35},
    "to_morse": {"morse": "... --- ... / ..--- ....-"},
    "to_roman": {"roman": "MCMLXXXVII"},
    "weekday_of": {"weekday": "Sunday"},
}


def called(name, arguments):
    return asyncio.run(result_of(shipped()[name][1], arguments, 5))


def test_there_are_twenty_tools_or_more_and_no_two_are_alike():
    assert len(shipped()) >= 20
    assert len({json.dumps(tool.parameters) + tool.description for tool, _ in shipped().values()}) == len(shipped())


@pytest.mark.parametrize("name", shipped())
def test_an_example_is_fit_for_its_tool_and_runs(name):
    tool, _ = shipped()[name]
    assert tool.description and tool.example and tool.problem(tool.example[1]) is None
    found = called(name, tool.example[1])
    assert isinstance(found, dict) and found == called(name, tool.example[1])
    assert found == RESULTS.get(name, found)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "(1).real",
        "9**9**9",
        "[1]*9",
        "'a'*9",
        "1/0",
        "lambda: 1",
        "10**20",
        "(-1)**0.5",
        "True",
        "",
    ],
)
def test_the_calculator_calculates_and_nothing_else(expression):
    with pytest.raises(ValueError, match=r"."):
        calculate(expression)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("convert_units", {"value": 1, "from_unit": "mile", "to_unit": "pound"}, "do not measure the same"),
        ("days_between", {"start": "2025-02-30", "end": "2025-03-01"}, "'2025-02-30' is no day"),
        ("country_facts", {"country": "Atlantis"}, "no country 'Atlantis'"),
        ("from_roman", {"numeral": "IIX"}, "no Roman numeral"),
        ("decode_base64", {"base64_text": "?"}, "no text in Base64"),
    ],
)
def test_what_a_tool_can_not_do_is_one_line(name, arguments, expected):
    with pytest.raises(ToolError, match=expected):
        called(name, arguments)


def test_a_call_has_an_end_and_what_it_raises_or_returns_is_told():
    async def endless():
        await asyncio.sleep(60)

    def stops():
        raise StopIteration

    for function, told in ((endless, "more than 0.01 s"), (stops, "StopIteration"), (lambda: {1}, "not JSON")):
        with pytest.raises(ToolError, match=told):
            asyncio.run(result_of(function, {}, 0.01))
