"""The pool of a strategy: texts that all its records offer, and draw examples from (Self-Instruct).

The interface for steps. The pool grows in the order of record numbers, wherever and whenever records run, so that each
answer depends on record numbers and offered texts only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PoolRules:
    """The parameters of a pool's growth, a step's attribute `pool`.

    A text is accepted if it has no ROUGE-L F1 above `threshold` with a text of `seeds` or an accepted one. At most
    `lag` records are undecided at once: record n begins when record n - lag is decided, and sees the texts accepted
    from the records up to that one.
    """

    seeds: tuple[str, ...]
    threshold: float
    lag: int


class Pool(Protocol):
    """One record's access to the pool. Both methods may wait for lower numbers, and raise EngineError if the pool is
    gone."""

    async def examples(self) -> Sequence[str]:
        """The texts accepted from records up to this one's number - lag, oldest first, without the seeds."""
        ...

    async def offer(self, texts: Sequence[str]) -> list[bool]:
        """Which texts are accepted. Call it once per record; its later texts are compared with its earlier ones."""
        ...
