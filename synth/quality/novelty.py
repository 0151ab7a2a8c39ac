"""Novelty of a text against a growing pool, by ROUGE-L (Self-Instruct, section 2.2).

Promises: the same decisions as the rouge_score package without stemming, to the last bit, in a time that hardly depends
on the size of the pool. First, the words that two texts share as multisets bound their longest common subsequence; an
inverted index gives this bound for the whole pool at once. Second, only where the bound leaves a doubt is the
subsequence computed, one machine word at a time.

As in rouge_score, words are runs of a-z and 0-9: a text in another script has none, and always counts as new.
"""

import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

_WORDS = re.compile(r"[a-z0-9]+")
_ROUNDING = 1e-9  # margin of the bound, so that no rounding error skips a comparison

Item = tuple[str, int]  # a word and its occurrence number in the text: turns multisets into sets


class Novelty:
    """A pool of texts; tells whether another text has a ROUGE-L F1 above `threshold` with any of them."""

    def __init__(self, threshold: float = 0.7, texts: Iterable[str] = ()):
        self.threshold = threshold
        self._texts: list[list[str]] = []  # as words
        self._lengths = array("q")
        self._holders: dict[Item, array[int]] = {}  # the texts that contain an item, in order
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> None:
        """Add to the pool, new or not. The time depends on the text's length only."""
        words = _words(text)
        for item in _items(words):
            self._holders.setdefault(item, array("q")).append(len(self._texts))
        self._texts.append(words)
        self._lengths.append(len(words))

    def is_novel(self, text: str) -> bool:
        """Whether no text in the pool has a ROUGE-L F1 above the threshold with this one."""
        words = _words(text)
        doubtful = self._doubtful(words)
        if not len(doubtful):
            return True
        places = _places(words)
        others = (self._texts[index] for index in doubtful)
        return not any(
            _f1(_common(places, len(words), other), len(words), len(other)) > self.threshold for other in others
        )

    def _doubtful(self, words: Sequence[str]) -> Sequence[int]:
        """The texts that share enough words to exceed the threshold if they were in the same order."""
        held = [self._holders[item] for item in _items(words) if item in self._holders]
        if not held:
            return []
        shared = np.bincount(
            np.concatenate([np.frombuffer(holders, np.int64) for holders in held]), minlength=len(self)
        )
        lengths = np.frombuffer(self._lengths, np.int64)
        found: list[int] = np.flatnonzero(2 * shared > (self.threshold - _ROUNDING) * (lengths + len(words))).tolist()
        return found


def _words(text: str) -> list[str]:
    return [sys.intern(word) for word in _WORDS.findall(text.lower())]


def _items(words: Sequence[str]) -> Iterator[Item]:
    seen: Counter[str] = Counter()
    for word in words:
        yield word, seen[word]
        seen[word] += 1


def _places(words: Sequence[str]) -> dict[str, int]:
    """The positions of each word, as the bits of a number."""
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return places


def _common(places: dict[str, int], length: int, others: Sequence[str]) -> int:
    """The length of the longest common subsequence, a row of its table in one operation (Hyyrö 2004).

    A zero bit of `row` is a place where the table's row grows by one.
    """
    full = row = (1 << length) - 1
    for word in others:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & full
    return length - row.bit_count()


def _f1(common: int, length: int, other: int) -> float:
    """In rouge_score's order of operations: at the threshold the last bit decides."""
    if not common:
        return 0.0
    precision, recall = common / length, common / other
    return 2 * precision * recall / (precision + recall)
