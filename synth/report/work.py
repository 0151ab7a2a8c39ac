"""How much work records are: how many were finished after how many tokens, and how far those have come that run.

Tokens are those of all calls of a record. Counts are by bins that are a quarter wider each, so that they are a few
dozen numbers, whatever there is of records, and those of several workers add up.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

BINS = 64
RATIO = 1.25


def bin_of(tokens: float) -> int:
    """Of no token at all there is a bin of its own, 0."""
    return 0 if tokens < 1 else min(BINS - 1, 1 + int(math.log(tokens, RATIO)))


def _none() -> list[float]:
    return [0.0] * BINS


@dataclass
class Work:
    """By bins: records that were `ended`, the `tokens` of all of these and their `kept` rows; records that run by what
    they have written so far."""

    ended: list[float] = field(default_factory=_none)
    tokens: list[float] = field(default_factory=_none)
    kept: list[float] = field(default_factory=_none)
    running: list[float] = field(default_factory=_none)

    def end(self, tokens: int, kept: int) -> None:
        place = bin_of(tokens)
        self.ended[place] += 1
        self.tokens[place] += tokens
        self.kept[place] += kept

    def count_running(self, written: Iterable[float]) -> None:
        """Records that run, by their tokens so far."""
        self.running = _none()
        for tokens in written:
            self.running[bin_of(tokens)] += 1

    def __add__(self, other: "Work") -> "Work":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Work(*([one + another for one, another in zip(*pair, strict=True)] for pair in pairs))
