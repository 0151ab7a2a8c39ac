"""Arithmetic: an expression, factors, numerals, statistics, money."""

import ast
import math
import operator
import statistics
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from synth.tools.function import rounded

_LARGEST = 10**15
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt,
    "abs": abs,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}
_ROMAN = dict(
    zip("M CM D CD C XC L XL X IX V IV I".split(), (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1), strict=True)
)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def calculate(
    expression: Annotated[str, Field(description="Such as (3 + 4) * 2.5 or sqrt(2) ** 3", max_length=200)],
) -> dict[str, float]:
    """Work out an arithmetic expression with + - * / // % **, brackets, sqrt, abs, log, sin, cos, tan, pi and e."""
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"{expression!r} is no arithmetic expression") from None
    value = _value(tree.body)
    return {"result": value if isinstance(value, int) else rounded(value)}


def _value(node: ast.expr) -> Any:
    """Of an expression, node by node: nothing else of Python is run, and no number grows without end."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            found: Any = number
        case ast.Name(id=name) if name in _CONSTANTS:
            found = _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            found = _OPERATORS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            one, other = _value(left), _value(right)
            if isinstance(op, ast.Pow) and (abs(other) > 100 or abs(one) > 10**6):
                raise ValueError("the power is too large")
            if isinstance(op, ast.Div | ast.FloorDiv | ast.Mod) and other == 0:
                raise ValueError("division by zero")
            found = _OPERATORS[type(op)](one, other)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            found = _FUNCTIONS[name](_value(argument))
        case _:
            raise ValueError("the expression has something in it that is no arithmetic")
    if isinstance(found, complex) or abs(found) > _LARGEST:
        raise ValueError("the result is too large, or no real number")
    return found


def greatest_common_divisor(
    a: Annotated[int, Field(ge=1, le=_LARGEST)], b: Annotated[int, Field(ge=1, le=_LARGEST)]
) -> dict[str, int]:
    """The greatest common divisor and the least common multiple of two whole numbers."""
    return {"greatest_common_divisor": math.gcd(a, b), "least_common_multiple": math.lcm(a, b)}


def factorize(number: Annotated[int, Field(ge=2, le=10**10, description="A whole number above 1")]) -> dict[str, Any]:
    """The prime factors of a whole number, smallest first, and whether it is a prime itself."""
    factors, rest, divisor = [], number, 2
    while divisor * divisor <= rest:
        while rest % divisor == 0:
            factors.append(divisor)
            rest //= divisor
        divisor += 1
    factors += [rest] if rest > 1 else []
    return {"prime_factors": factors, "is_prime": factors == [number]}


def to_roman(number: Annotated[int, Field(ge=1, le=3999)]) -> dict[str, str]:
    """A whole number from 1 to 3999 in Roman numerals."""
    written = ""
    for numeral, value in _ROMAN.items():
        written += numeral * (number // value)
        number %= value
    return {"roman": written}


def from_roman(
    numeral: Annotated[str, Field(description="Roman numerals, such as XIV", max_length=20)],
) -> dict[str, int]:
    """The whole number that Roman numerals stand for."""
    rest, total = numeral.strip().upper(), 0
    for sign, value in _ROMAN.items():
        while rest.startswith(sign):
            total, rest = total + value, rest[len(sign) :]
    if rest or not total or to_roman(min(total, 3999))["roman"] != numeral.strip().upper():
        raise ValueError(f"{numeral!r} is no Roman numeral")
    return {"number": total}


def convert_base(
    number: Annotated[str, Field(description="The digits, such as ff or 1011", max_length=40)],
    from_base: Annotated[int, Field(ge=2, le=36)],
    to_base: Annotated[int, Field(ge=2, le=36)],
) -> dict[str, str]:
    """Write a whole number that is given in one base in another one."""
    value = int(number, from_base)  # ValueError says what is wrong
    digits, rest = "", abs(value)
    while rest:
        rest, digit = divmod(rest, to_base)
        digits = _DIGITS[digit] + digits
    return {"digits": ("-" if value < 0 else "") + (digits or "0")}


def describe_numbers(
    values: Annotated[list[float], Field(min_length=1, max_length=200, description="The numbers")],
) -> dict[str, float]:
    """The count, sum, mean, median, smallest and largest of some numbers."""
    return {
        "count": len(values),
        "sum": rounded(math.fsum(values)),
        "mean": rounded(statistics.fmean(values)),
        "median": rounded(statistics.median(values)),
        "smallest": min(values),
        "largest": max(values),
    }


def loan_payment(
    amount: Annotated[float, Field(gt=0, le=1e9, description="What is borrowed")],
    yearly_rate_percent: Annotated[float, Field(ge=0, le=100)],
    years: Annotated[int, Field(ge=1, le=60)],
) -> dict[str, float]:
    """The monthly payment of a loan that is paid back in equal parts, and what is paid in all."""
    months, rate = years * 12, yearly_rate_percent / 1200
    payment = amount / months if rate == 0 else amount * rate / (1 - (1 + rate) ** -months)
    return {"monthly_payment": round(payment, 2), "paid_in_all": round(payment * months, 2)}


def split_bill(
    total: Annotated[float, Field(gt=0, le=1e6)],
    people: Annotated[int, Field(ge=1, le=1000)],
    tip_percent: Annotated[float, Field(ge=0, le=100)] = 0,
) -> dict[str, float]:
    """What each of several people pays of a bill, with a tip."""
    return {"each": round(total * (1 + tip_percent / 100) / people, 2)}


TOOLS = {
    calculate: ("What is 17.5 times 12, minus 8?", {"expression": "17.5 * 12 - 8"}),
    greatest_common_divisor: ("Which is the largest number that divides both 84 and 126?", {"a": 84, "b": 126}),
    factorize: ("Is 391 a prime, and if not, what are its factors?", {"number": 391}),
    to_roman: ("How is the year 1987 written in Roman numerals?", {"number": 1987}),
    from_roman: ("The stone over our door says MDCCXLIV. Which year is that?", {"numeral": "MDCCXLIV"}),
    convert_base: (
        "What is the hexadecimal number 2fa in binary?",
        {"number": "2fa", "from_base": 16, "to_base": 2},
    ),
    describe_numbers: (
        "My runs took 31, 28.5, 30 and 27 minutes. What is the average?",
        {"values": [31, 28.5, 30, 27]},
    ),
    loan_payment: (
        "I want to borrow 12000 at 5 percent a year and pay it back in 4 years. What do I pay a month?",
        {"amount": 12000, "yearly_rate_percent": 5, "years": 4},
    ),
    split_bill: (
        "Five of us had dinner for 143.50, and we want to tip ten percent. What is each one's share?",
        {"total": 143.5, "people": 5, "tip_percent": 10},
    ),
}
