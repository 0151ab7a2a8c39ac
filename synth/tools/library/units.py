"""Units of length, weight, volume, speed and temperature, and what follows from weight and height."""

from typing import Annotated, Literal

from pydantic import Field

from synth.tools.function import rounded

# In metres, kilograms, litres and metres per second, as they are defined.
_LENGTHS = {"millimetre": 0.001, "centimetre": 0.01, "metre": 1.0, "kilometre": 1000.0}
_LENGTHS |= {"inch": 0.0254, "foot": 0.3048, "yard": 0.9144, "mile": 1609.344, "nautical_mile": 1852.0}
_WEIGHTS = {"gram": 0.001, "kilogram": 1.0, "tonne": 1000.0, "ounce": 0.028349523125, "pound": 0.45359237}
_VOLUMES = {"millilitre": 0.001, "litre": 1.0, "us_cup": 0.2365882365, "us_gallon": 3.785411784}
_SPEEDS = {"metre_per_second": 1.0, "kilometre_per_hour": 1 / 3.6, "mile_per_hour": 0.44704, "knot": 1852 / 3600}
_KINDS = (_LENGTHS, _WEIGHTS, _VOLUMES, _SPEEDS)

Unit = Literal[
    "millimetre", "centimetre", "metre", "kilometre", "inch", "foot", "yard", "mile", "nautical_mile",
    "gram", "kilogram", "tonne", "ounce", "pound", "millilitre", "litre", "us_cup", "us_gallon",
    "metre_per_second", "kilometre_per_hour", "mile_per_hour", "knot",
]  # fmt: skip
Scale = Literal["celsius", "fahrenheit", "kelvin"]
_FREEZING = {"celsius": 273.15, "kelvin": 0.0}


def convert_units(
    value: Annotated[float, Field(ge=-1e12, le=1e12)], from_unit: Unit, to_unit: Unit
) -> dict[str, float | str]:
    """Convert a length, a weight, a volume or a speed from one unit to another of the same kind."""
    kind = next(one for one in _KINDS if from_unit in one)
    if to_unit not in kind:
        raise ValueError(f"{from_unit} and {to_unit} do not measure the same")
    return {"value": rounded(value * kind[from_unit] / kind[to_unit]), "unit": to_unit}


def convert_temperature(
    value: Annotated[float, Field(ge=-1000, le=1e6)], from_scale: Scale, to_scale: Scale
) -> dict[str, float]:
    """Convert a temperature between degrees Celsius, degrees Fahrenheit and kelvins."""
    kelvin = (value + 459.67) * 5 / 9 if from_scale == "fahrenheit" else value + _FREEZING[from_scale]
    if kelvin < 0:
        raise ValueError("that is below absolute zero")
    found = kelvin * 9 / 5 - 459.67 if to_scale == "fahrenheit" else kelvin - _FREEZING[to_scale]
    return {"value": round(found, 2)}


def body_mass_index(
    weight_kg: Annotated[float, Field(gt=0, le=700)], height_m: Annotated[float, Field(gt=0.3, le=3)]
) -> dict[str, float]:
    """The body mass index of a person, from weight in kilograms and height in metres."""
    return {"body_mass_index": round(weight_kg / height_m**2, 1)}


TOOLS = {
    convert_units: (
        "How many kilometres are 26.2 miles?",
        {"value": 26.2, "from_unit": "mile", "to_unit": "kilometre"},
    ),
    convert_temperature: (
        "The recipe says 350 degrees Fahrenheit. What is that in Celsius?",
        {"value": 350, "from_scale": "fahrenheit", "to_scale": "celsius"},
    ),
    body_mass_index: ("I am 1.78 m tall and weigh 74 kg. What is my BMI?", {"weight_kg": 74, "height_m": 1.78}),
}
