"""What checks an answer by something else than a model's opinion: a known result, unit tests, rules, code of one's own.

A verifier is a class that a `_target_` names. A step has one by its key `verifier`: synth/steps/verify.py keeps what
passes. Promise: whatever a verifier meets, it says one of four verdicts and raises nothing but EngineError, where it
itself is broken. What it could not find out is never a pass.

Knows nothing of models, chains or what is decided by a verdict.
"""

from typing import Literal, NamedTuple, Protocol, get_args

from synth.engines import EngineError
from synth.messages import messages_of
from synth.records import Needs, Record, text_of

Said = Literal["passed", "failed", "timeout", "error"]


class Verdict(NamedTuple):
    """`score` is from 0, failed, to 1, passed; 0 where nobody knows, which is after a `timeout` or an `error`.

    `detail` is for a human: the answer that was extracted, the last line of a failing test, the exception.
    """

    verdict: Said
    score: float
    detail: str = ""


class Verifier(Protocol):
    """Checks a record that has its answer in `response`, and in `messages` where it has these.

    May have a method `missing() -> str | None`, which names what it would take and is not there as `key: problem`, and
    `extracted(record) -> str | None`: the final answer in a form in which equal answers are equal texts, None without
    one.
    """

    async def verify(self, record: Record) -> Verdict: ...

    def needs(self) -> list[Needs]:
        """The columns that it reads beside the answer."""
        ...


async def verdict_of(verifier: Verifier, record: Record) -> Verdict:
    """Of a verifier that may be anyone's: what it raises, or gives in place of a verdict, is an `error` and no pass."""
    try:
        said: object = await verifier.verify(record)
    except EngineError:
        raise
    except Exception as error:
        return Verdict("error", 0.0, f"{type(error).__name__}: {error}")
    if isinstance(said, Verdict) and said.verdict in get_args(Said):
        return said
    return Verdict("error", 0.0, f"the verifier gave {said!r}"[:200])


def answer_of(record: Record) -> str:
    """The last thing that the assistant said; empty where that is nothing."""
    messages = messages_of(record)
    if messages and messages[-1]["role"] == "assistant":
        return str(messages[-1]["content"])
    return text_of(record, "response") or ""
