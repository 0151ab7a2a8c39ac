"""Places on the globe, and tables of countries and chemical elements."""

import math
from typing import Annotated, Literal

from pydantic import Field

Latitude = Annotated[float, Field(ge=-90, le=90, description="Degrees, negative in the south")]
Longitude = Annotated[float, Field(ge=-180, le=180, description="Degrees, negative in the west")]

_EARTH_KM = 6371.0088  # the mean radius
# Capital, continent, currency (ISO 4217), calling code.
_COUNTRIES = {
    "Argentina": ("Buenos Aires", "South America", "ARS", "+54"),
    "Australia": ("Canberra", "Oceania", "AUD", "+61"),
    "Austria": ("Vienna", "Europe", "EUR", "+43"),
    "Brazil": ("Brasília", "South America", "BRL", "+55"),
    "Canada": ("Ottawa", "North America", "CAD", "+1"),
    "Chile": ("Santiago", "South America", "CLP", "+56"),
    "China": ("Beijing", "Asia", "CNY", "+86"),
    "Denmark": ("Copenhagen", "Europe", "DKK", "+45"),
    "Egypt": ("Cairo", "Africa", "EGP", "+20"),
    "Ethiopia": ("Addis Ababa", "Africa", "ETB", "+251"),
    "Finland": ("Helsinki", "Europe", "EUR", "+358"),
    "France": ("Paris", "Europe", "EUR", "+33"),
    "Germany": ("Berlin", "Europe", "EUR", "+49"),
    "Ghana": ("Accra", "Africa", "GHS", "+233"),
    "Greece": ("Athens", "Europe", "EUR", "+30"),
    "Iceland": ("Reykjavík", "Europe", "ISK", "+354"),
    "India": ("New Delhi", "Asia", "INR", "+91"),
    "Indonesia": ("Jakarta", "Asia", "IDR", "+62"),
    "Ireland": ("Dublin", "Europe", "EUR", "+353"),
    "Italy": ("Rome", "Europe", "EUR", "+39"),
    "Japan": ("Tokyo", "Asia", "JPY", "+81"),
    "Kenya": ("Nairobi", "Africa", "KES", "+254"),
    "Mexico": ("Mexico City", "North America", "MXN", "+52"),
    "Morocco": ("Rabat", "Africa", "MAD", "+212"),
    "New Zealand": ("Wellington", "Oceania", "NZD", "+64"),
    "Nigeria": ("Abuja", "Africa", "NGN", "+234"),
    "Norway": ("Oslo", "Europe", "NOK", "+47"),
    "Peru": ("Lima", "South America", "PEN", "+51"),
    "Poland": ("Warsaw", "Europe", "PLN", "+48"),
    "Portugal": ("Lisbon", "Europe", "EUR", "+351"),
    "South Korea": ("Seoul", "Asia", "KRW", "+82"),
    "Spain": ("Madrid", "Europe", "EUR", "+34"),
    "Sweden": ("Stockholm", "Europe", "SEK", "+46"),
    "Switzerland": ("Bern", "Europe", "CHF", "+41"),
    "Thailand": ("Bangkok", "Asia", "THB", "+66"),
    "Turkey": ("Ankara", "Asia", "TRY", "+90"),
    "United Kingdom": ("London", "Europe", "GBP", "+44"),
    "United States": ("Washington, D.C.", "North America", "USD", "+1"),
    "Vietnam": ("Hanoi", "Asia", "VND", "+84"),
}
# Number and standard atomic weight.
_ELEMENTS = {
    "hydrogen": ("H", 1, 1.008),
    "helium": ("He", 2, 4.0026),
    "lithium": ("Li", 3, 6.94),
    "carbon": ("C", 6, 12.011),
    "nitrogen": ("N", 7, 14.007),
    "oxygen": ("O", 8, 15.999),
    "neon": ("Ne", 10, 20.18),
    "sodium": ("Na", 11, 22.99),
    "magnesium": ("Mg", 12, 24.305),
    "aluminium": ("Al", 13, 26.982),
    "silicon": ("Si", 14, 28.085),
    "sulfur": ("S", 16, 32.06),
    "chlorine": ("Cl", 17, 35.45),
    "potassium": ("K", 19, 39.098),
    "calcium": ("Ca", 20, 40.078),
    "iron": ("Fe", 26, 55.845),
    "copper": ("Cu", 29, 63.546),
    "zinc": ("Zn", 30, 65.38),
    "silver": ("Ag", 47, 107.87),
    "tin": ("Sn", 50, 118.71),
    "gold": ("Au", 79, 196.97),
    "mercury": ("Hg", 80, 200.59),
    "lead": ("Pb", 82, 207.2),
}


def distance_between(
    latitude_1: Latitude, longitude_1: Longitude, latitude_2: Latitude, longitude_2: Longitude
) -> dict[str, float]:
    """The distance between two places in kilometres, along the earth's surface."""
    one, other = math.radians(latitude_1), math.radians(latitude_2)
    along = math.radians(longitude_2 - longitude_1)
    half = math.sin((other - one) / 2) ** 2 + math.cos(one) * math.cos(other) * math.sin(along / 2) ** 2
    return {"kilometres": round(2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half))), 1)}


def country_facts(country: Annotated[str, Field(description="Its English name")]) -> dict[str, str]:
    """The capital, the continent, the currency and the calling code of a country."""
    name = next((one for one in _COUNTRIES if one.casefold() == country.strip().casefold()), None)
    if name is None:
        raise ValueError(f"there is no country {country!r} in the table")
    names = ("capital", "continent", "currency", "calling_code")
    return dict(zip(names, _COUNTRIES[name], strict=True))


def element_facts(
    element: Annotated[str, Field(description="Its English name")],
    fact: Literal["symbol", "atomic_number", "atomic_weight"],
) -> dict[str, str | int | float]:
    """The symbol, the atomic number or the atomic weight of a chemical element."""
    if element.strip().casefold() not in _ELEMENTS:
        raise ValueError(f"there is no element {element!r} in the table")
    symbol, number, weight = _ELEMENTS[element.strip().casefold()]
    facts: dict[str, str | int | float] = {"symbol": symbol, "atomic_number": number, "atomic_weight": weight}
    return {fact: facts[fact]}


TOOLS = {
    distance_between: (
        "How far is it from 48.86, 2.35 to 40.42, -3.70 as the crow flies?",
        {"latitude_1": 48.86, "longitude_1": 2.35, "latitude_2": 40.42, "longitude_2": -3.7},
    ),
    country_facts: ("What is the capital of Kenya, and what do people pay with there?", {"country": "Kenya"}),
    element_facts: ("What is the atomic weight of copper?", {"element": "copper", "fact": "atomic_weight"}),
}
