"""Detects looping answers by their token ids: the same tokens several times in a row.

The rule is that of vLLM's `repetition_detection`: at some token, the last `min_pattern_size` to `max_pattern_size`
tokens occur `min_count` times in a row. One pass finds the first such token for all sizes. vLLM's scheduler compares
each size at each token, which is many times slower, so its detection is used on servers only. Both find the same loops.

Limits: loops with small changes, such as numbered lines. A filter finds those (synth/quality/repetition.py).
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

REPETITION: Literal["repetition"] = "repetition"  # the finish_reason, and the rejection reason


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RepetitionDetection:
    """Defines a loop: a pattern of so many tokens, `min_count` times in a row. The answer ends there.

    With `reject` false the answer is kept up to the loop, with the finish_reason `repetition`. Raises ValueError if no
    pattern size is possible.
    """

    min_pattern_size: Annotated[int, Field(ge=1)] = 8
    max_pattern_size: Annotated[int, Field(ge=1)] = 64
    min_count: Annotated[int, Field(ge=2)] = 3
    reject: bool = True

    def __post_init__(self) -> None:
        if self.min_pattern_size > self.max_pattern_size:
            raise ValueError(f"min_pattern_size: is {self.min_pattern_size}, above max_pattern_size")


class LoopFinder:
    """Reads a growing answer. `end` is its number of tokens when a loop is first found, None before."""

    def __init__(self, detection: RepetitionDetection):
        self._detection = detection
        self._read = 0
        self._places: defaultdict[int, deque[int]] = defaultdict(deque)  # of each token, within the largest pattern
        # By size, how many of the last tokens equal those one pattern earlier.
        self._runs: dict[int, int] = {}
        self.end: int | None = None

    @classmethod
    def watching(cls, detection: RepetitionDetection | None) -> "LoopFinder | None":
        """A watch (see Generator) that ends a looping answer; None without a detection."""
        return cls(detection) if detection else None

    def __call__(self, token_ids: Sequence[int], text: str | None = None) -> bool:
        return self.read(token_ids) is not None

    def read(self, token_ids: Sequence[int]) -> int | None:
        """Read the tokens after those read before. Returns `end`."""
        least, most, times = (
            self._detection.min_pattern_size,
            self._detection.max_pattern_size,
            self._detection.min_count - 1,
        )
        while self.end is None and self._read < len(token_ids):
            at = self._read
            places = self._places[token_ids[at]]
            while places and at - places[0] > most:
                places.popleft()
            sizes = [at - place for place in places if at - place >= least]
            self._runs = {size: self._runs.get(size, 0) + 1 for size in sizes}
            places.append(at)
            self._read += 1
            if any(run >= size * times for size, run in self._runs.items()):
                self.end = self._read
        return self.end


def loops(token_ids: Sequence[int], detection: RepetitionDetection | None) -> bool:
    """Whether an answer contains a loop; always false without a detection."""
    return detection is not None and LoopFinder(detection).read(token_ids) is not None
