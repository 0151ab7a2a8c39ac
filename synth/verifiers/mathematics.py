r"""Mathematics: compares the final answer of a response with the known one.

Numbers are compared as fractions here. Everything else is compared by math-verify, which parses LaTeX with latex2sympy2
and uses sympy, in a subprocess: `10^{10^{10}}` never ends, and exhausts the memory first.

Limits: the way to the answer is not checked. Words are compared as words.

Needs math-verify: pip install math-verify.
"""

import logging
import re
from fractions import Fraction
from functools import cached_property
from importlib.util import find_spec
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.records import Needs, Record
from synth.verifiers import Verdict, answer_of
from synth.verifiers.final_answer import MOST_CHARACTERS, final_answer, normal_form, plain
from synth.verifiers.processes import Processes

MEMORY_GB = 4.0  # of address space; the imports take one
_ROUNDING = Fraction(1, 10**6)  # of a decimal number, as in math-verify
_NUMBER = re.compile(r"([-+]?)(\d{1,300}|\d{0,300}\.\d{1,300})(?:[eE]([-+]?\d{1,2}))?")
_FRACTION = re.compile(
    r"(-?)\\frac\s*\{\s*(-?\d{1,300})\s*\}\s*\{\s*(\d{1,300})\s*\}|(-?)(\d{1,300})\s*/\s*(\d{1,300})"
)
_FUNCTION = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|arcsin|arccos|arctan|max|min|mod|lcm|gcd)\b")
_WORDS = re.compile(r"[^\W\d_]{3,}|\b[Nn][Oo]\b")  # two letters may be a product
_PHRASE = re.compile(r"[^\W\d_][^\d\\=^_(){}\[\]<>+*/|]*")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Math:
    """Passes if the final answer equals the one in the column `answer`: a text, a worked solution or a number.

    A comparison that takes more than `cpu_s` of processor time is a `timeout`, as is one that takes more than
    `timeout_s` of wall time; `processes` of them run at once in each worker. A record without a known answer, or with
    an unreadable one, is an `error`.
    """

    answer: str = "answer"
    cpu_s: Annotated[float, Field(gt=0)] = 10.0
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    processes: Annotated[int, Field(ge=1)] = 1

    def __post_init__(self) -> None:
        if find_spec("math_verify") is None:
            raise ValueError("needs math-verify, which is not installed; run pip install math-verify")

    def needs(self) -> list[Needs]:
        return [(self.answer,)]

    def extracted(self, record: Record) -> str | None:
        """The final answer in normal form, for votes: `1,000 km` and `1000` are equal."""
        found = final_answer(answer_of(record))
        return normal_form(found) or None if found and len(found) <= MOST_CHARACTERS else None

    async def verify(self, record: Record) -> Verdict:
        known = _known(record.get(self.answer))
        if known is None:
            return Verdict("error", 0.0, f"no answer in the column {self.answer!r}")
        found = final_answer(answer_of(record))
        if found is None or len(found) > MOST_CHARACTERS:
            return Verdict("failed", 0.0, "no final answer" if found is None else "a final answer without end")
        detail = f"{_short(found)} for {_short(known)}"
        same = _same_without_algebra(known, found)
        if same is None:
            reply = await self._processes.ask((known, found))
            if reply.kind != "value":
                return Verdict(reply.kind, 0.0, f"{detail}: {reply.detail}")
            same = bool(reply.value)
        return Verdict("passed", 1.0, detail) if same else Verdict("failed", 0.0, detail)

    async def close(self) -> None:
        """End the idle processes, before another event loop uses this verifier."""
        await self._processes.close()

    @cached_property
    def _processes(self) -> Processes:
        bounds = {"timeout_s": self.timeout_s, "cpu_s": self.cpu_s, "memory_gb": MEMORY_GB}
        return Processes("math-verify", _same, count=self.processes, **bounds)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def _known(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str) or not value.strip():
        return None
    short = len(value) <= MOST_CHARACTERS and "\n" not in value.strip()
    worked = "boxed" in value or "####" in value or not short
    found = final_answer(value) if worked else value.strip().strip("$").strip()
    return found if found and len(found) <= MOST_CHARACTERS else None


def _same_without_algebra(known: str, found: str) -> bool | None:
    """None if arithmetic does not suffice."""
    one, other = plain(known), plain(found)
    if one == other:
        return True
    if _is_phrase(one) or _is_phrase(other):
        return one.strip("()").casefold() == other.strip("()").casefold()
    numbers, others = _values(one), _values(other)
    if not numbers or not others:
        return None
    if one.endswith("%") and other.endswith("%"):
        numbers, others = numbers[:1], others[:1]
    exact = not re.search(r"\.\d{4}", one + other)
    return any(this == that if exact else abs(this - that) < _ROUNDING for this in numbers for that in others)


def _is_phrase(text: str) -> bool:
    return bool(_PHRASE.fullmatch(text) and _WORDS.search(text) and not _FUNCTION.search(text))


def _values(text: str) -> list[Fraction]:
    """The number; for a percentage also its hundredth, as the sign may be in the question."""
    number = re.sub(r"^[A-Za-z]\s*=\s*", "", text).removesuffix("%").strip()
    value = _value(number)
    if value is None:
        return []
    return [value / 100, value] if text.endswith("%") else [value]


def _value(text: str) -> Fraction | None:
    if found := _NUMBER.fullmatch(text):
        return Fraction(text)
    if found := _FRACTION.fullmatch(text):
        sign, above, below, plain_sign, numerator, denominator = found.groups()
        if not int(below or denominator):
            return None
        value = Fraction(int(above or numerator), int(below or denominator))
        return -value if sign or plain_sign else value
    return None


def _same(pair: tuple[str, str]) -> bool:
    """By math-verify, in a subprocess, which bounds it: math-verify's own timeouts are signals, which sympy's inner
    loops don't notice."""
    logging.disable()
    from math_verify import LatexExtractionConfig, parse, verify

    def parsed(text: str) -> list[Any]:
        return [parse(f"${form}$", [LatexExtractionConfig()], parsing_timeout=None) for form in _forms(plain(text))]

    known, found = map(parsed, pair)
    return any(
        verify(this, that, timeout_seconds=None, allow_set_relation_comp=True) for this in known for that in found
    )


def _forms(text: str) -> list[str]:
    if text.endswith("%"):
        number = text.removesuffix("%").strip()
        return [rf"\frac{{{number}}}{{100}}", number]
    return [text]
