"""Verifiers check an answer without a model's opinion: by a known result, unit tests, rules, or a user's code.

A verifier is a class named by a `_target_`, and a step's key `verifier`: synth/steps/verify.py keeps answers that pass.
Promise: a verifier returns one of four verdicts whatever it meets, and raises only EngineError, if it is broken itself.
An unknown result is never a pass.
"""

from typing import Literal, NamedTuple, Protocol, get_args

from synth.engines import EngineError
from synth.messages import messages_of
from synth.records import Needs, Record, text_of

Said = Literal["passed", "failed", "timeout", "error"]


class Verdict(NamedTuple):
    """`score` is from 0, failed, to 1, passed; 0 if the result is unknown, after a `timeout` or an `error`.

    `detail` is for people: the extracted answer, the last line of a failing test, the exception.
    """

    verdict: Said
    score: float
    detail: str = ""


class Verifier(Protocol):
    """Checks a record with its answer in `response`, and in `messages` if it has these.

    May have a method `missing() -> str | None`, which names a missing requirement as `key: problem`, and
    `extracted(record) -> str | None`: the final answer in a normal form, in which equal answers are equal strings, None
    without one.
    """

    async def verify(self, record: Record) -> Verdict: ...

    def needs(self) -> list[Needs]:
        """The columns that it reads beside the answer."""
        ...


async def verdict_of(verifier: Verifier, record: Record) -> Verdict:
    """For any verifier, also a user's: an exception, or a result that is no verdict, is an `error` and no pass."""
    try:
        verdict: object = await verifier.verify(record)
    except EngineError:
        raise
    except Exception as error:
        return Verdict("error", 0.0, f"{type(error).__name__}: {error}")
    if isinstance(verdict, Verdict) and verdict.verdict in get_args(Said):
        return verdict
    return Verdict("error", 0.0, f"the verifier returned {verdict!r}"[:200])


def answer_of(record: Record) -> str:
    """The last text of the assistant; empty if there is none."""
    messages = messages_of(record)
    if messages and messages[-1]["role"] == "assistant":
        return str(messages[-1]["content"])
    return text_of(record, "response") or ""
