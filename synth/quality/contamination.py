"""Rejects records that share n-grams with a test set, since training on them would invalidate the test.

As for GPT-3 (arXiv 2005.14165, appendix C): an overlap is 13 words in a row, or a whole example of 8 to 12 words. Words
are runs of letters and digits in lower case.

Each worker builds the index once, from any source that Synth reads (docs/sources.md), row by row. It holds 8 bytes per
different n-gram. A hash collision would reject a record wrongly; with ten million n-grams this happens to about one
record in a million.

Limits: no paraphrases, no translations; a text in a language without spaces is a single word; the matching example is
not reported, since it is not stored.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.components.lists import as_list
from synth.quality.loaded import Loaded
from synth.quality.ngrams import Hashes, hashed, windows
from synth.quality.texts import columns_of, missing, texts
from synth.records import Needs, Record, Rejection
from synth.sources import BadRow, Source
from synth.sources.files import Files

_WORDS = re.compile(r"[^\W_]+")
_CHUNK = 1 << 20  # hashes gathered before they are merged into the sorted ones


def _as_source(given: Any) -> Any:
    if isinstance(given, str):
        return Files(path=[given])
    return part(given, "against", Source)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Decontaminate:
    """Rejects a record as `contaminated` if one of its `look_at` columns shares words with a row of `against`.

    `against` is a file, a source with a `_target_`, or a list of these; all texts of its rows are used, or those of
    `test_columns`. `ngram` is the number of consecutive words that count as an overlap; shorter examples are compared
    as a whole, and those below `min_words` not at all. `max_ngrams` bounds the index: with more test data the run ends
    at once with an error. Also: `no_COLUMN` for each column in `look_at`.
    """

    against: Annotated[list[Annotated[Any, BeforeValidator(_as_source)]], Field(min_length=1), BeforeValidator(as_list)]
    test_columns: list[str] = field(default_factory=list)
    look_at: Annotated[list[str], Field(min_length=1), BeforeValidator(as_list)] = field(
        default_factory=lambda: ["instruction"]
    )
    ngram: Annotated[int, Field(ge=2)] = 13
    min_words: Annotated[int, Field(ge=1)] = 8
    max_ngrams: Annotated[int, Field(ge=1)] = 50_000_000

    columns: ClassVar[dict[str, str]] = {}
    is_filter: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for source in self.against:
            source.stamp()  # a missing file is reported before the run starts

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("contaminated", *map(missing, self.look_at))

    def needs(self) -> list[Needs]:
        return [choice for column in self.look_at for choice in columns_of(column)]

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        index = await self._loaded.get()
        for column in self.look_at:
            for text in texts(record, column):
                if (shared := index.shared(text)) is not None:
                    raise Rejection("contaminated", f"{column}: {shared}")
        return record

    @cached_property
    def _loaded(self) -> "Loaded[NgramIndex]":
        def load() -> NgramIndex:
            rows = (row for source in self.against for row in source.read() if not isinstance(row, BadRow))
            examples = (text for row in rows for text in _texts_of(row, self.test_columns))
            return NgramIndex.of(examples, self.ngram, min(self.min_words, self.ngram), self.max_ngrams)

        return Loaded("the test sets", load)


@plain_dataclass(frozen=True)
class NgramIndex:
    """Sorted hashes of n-grams, by n: `ngram` for long examples, the example's length for short ones."""

    hashes: Mapping[int, Hashes]

    @classmethod
    def of(cls, examples: Iterable[str], ngram: int, min_words: int, most: int) -> "NgramIndex":
        """Raises ValueError for more than `most` different n-grams."""
        gathered: dict[int, Hashes] = {}
        new: dict[int, list[Hashes]] = {}
        count = 0
        for example in examples:
            words = _WORDS.findall(example.lower())
            if len(words) < min_words:
                continue
            n = min(ngram, len(words))
            new.setdefault(n, []).append(np.unique(windows(hashed(words), n)))
            count += len(new[n][-1])
            if count >= _CHUNK:
                gathered, new, count = _sorted_in(gathered, new), {}, 0
                if sum(map(len, gathered.values())) > most:
                    break
        gathered = _sorted_in(gathered, new)
        if sum(map(len, gathered.values())) > most:
            raise ValueError(f"they hold more than max_ngrams={most:,} different n-grams")
        return cls(gathered)

    def __len__(self) -> int:
        return sum(map(len, self.hashes.values()))

    def shared(self, text: str) -> str | None:
        """The first words of a text that are in the index, or None."""
        words = _WORDS.findall(text.lower())
        mine_by_word = hashed(words)
        for n in sorted(self.hashes, reverse=True):
            index, mine = self.hashes[n], windows(mine_by_word, n)
            places = np.searchsorted(index, mine)
            places[places == len(index)] = 0
            found = np.flatnonzero(index[places] == mine)
            if len(found):
                return " ".join(words[int(found[0]) : int(found[0]) + n])
        return None


def _sorted_in(gathered: Mapping[int, Hashes], new: Mapping[int, list[Hashes]]) -> dict[int, Hashes]:
    merged = dict(gathered)
    for n, parts in new.items():
        merged[n] = np.unique(np.concatenate([*parts, *([gathered[n]] if n in gathered else [])]))
    return merged


def _texts_of(row: Record, columns: Sequence[str]) -> Iterator[str]:
    """All texts of a row, those in its lists too; of the named columns, if there are any."""
    waiting: list[Any] = [row.get(name) for name in columns] if columns else list(row.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
