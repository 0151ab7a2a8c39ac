"""The lengths of records in tokens: a histogram of ended ones, and one of running ones.

Tokens are those of all calls of a record. Bins grow by a quarter, so there are a few dozen numbers for any number of
records, and the histograms of several workers can be added.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

BINS = 64
RATIO = 1.25


def bin_of(tokens: float) -> int:
    """Bin 0 is for no token at all."""
    return 0 if tokens < 1 else min(BINS - 1, 1 + int(math.log(tokens, RATIO)))


def _none() -> list[float]:
    return [0.0] * BINS


@dataclass
class Work:
    """By bin: `ended` records with their total `tokens` and `kept` rows; running records by the tokens so far."""

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
        """Count running records by their tokens so far."""
        self.running = _none()
        for tokens in written:
            self.running[bin_of(tokens)] += 1

    def __add__(self, other: "Work") -> "Work":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Work(*([one + another for one, another in zip(*pair, strict=True)] for pair in pairs))
