"""Which two passages of a document belong together: what a question over two passages is asked about.

The partner of a passage is the one that has most of its rare words, those of few passages of the document: a name or a
term that both speak of. It shares no overlap with it, as far as there are others.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

MOST_PASSAGES = 8  # that a rare word is in
_WORD = re.compile(r"[^\W\d_]{4,}")


def partners(texts: Sequence[str]) -> list[int | None]:
    """For each text the number of its partner, None if no other shares a rare word. Ties: the nearest, then the
    earlier one."""
    words = [set(_WORD.findall(text.casefold())) for text in texts]
    places: dict[str, list[int]] = defaultdict(list)
    for number, those in enumerate(words):
        for word in those:
            places[word].append(number)
    found: list[int | None] = []
    for number, those in enumerate(words):
        shared = Counter[int]()
        for word in those:
            if 2 <= len(places[word]) <= MOST_PASSAGES:
                for other in places[word]:
                    # In whole numbers: sums of fractions would depend on the order of a set.
                    shared[other] += round(1000 * math.log((1 + len(texts)) / len(places[word])))
        del shared[number]
        ranked = [(abs(other - number) > 1, weight, -abs(other - number), -other) for other, weight in shared.items()]
        found.append(-max(ranked)[-1] if ranked else None)
    return found
