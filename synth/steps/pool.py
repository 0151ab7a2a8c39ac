"""The pool of a strategy: texts that all its records offer to, and draw examples from.

What a step says of the pool that it needs, and what it sees of it. The pool grows in the order of record numbers, on
whatever machine and whenever they run, so that each answer is a function of numbers and of what was offered.

Knows nothing of where the pool is, nor of how it is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PoolRules:
    """What decides a pool's growth. A step that needs one has it as its attribute `pool`.

    A text is accepted if no other one, of `seeds` or accepted before, has a ROUGE-L F1 above `threshold` with it.
    At most `lag` records are undecided at once: record n begins when record n - lag is decided, and sees no more than
    what the records up to that one had accepted.
    """

    seeds: tuple[str, ...]
    threshold: float
    lag: int


class Pool(Protocol):
    """One record's door to the pool. Both calls may wait for lower numbers, and raise EngineError
    where the pool is gone."""

    async def examples(self) -> Sequence[str]:
        """What was accepted so far, oldest first, without the seeds: by records up to this one's number - lag."""
        ...

    async def offer(self, texts: Sequence[str]) -> list[bool]:
        """Which of the texts are accepted. A record offers once; its later texts are compared with its earlier ones."""
        ...
