"""Deduplication across the whole run: of similar records the one with the lowest number is kept.

The rule. At a dedup step a record claims a dedup key: a hash, a signature or an embedding of its text. It is a
duplicate if a lower record claimed a similar key at that step, whether or not that record is kept in the end. This is
the rule of Magpie's recipe (arXiv 2406.08464: an instruction is dropped if one with a lower index is near). It was
chosen because a duplicate then depends on two records only, never on a chain of decisions, so keys may arrive in any
order. Known lower keys only increase, and with them the set of duplicates: a record once found to be a duplicate stays
one.

Hence there are two decisions, and no record waits:

* When a record claims its key, the key is compared with all known lower ones. If one is similar the record is rejected,
and costs no more tokens. Otherwise it goes on at once, without waiting for slow lower numbers.
* A shard is finalized when it and all lower shards are finished, because then every key that matters is known. Kept
rows that turn out to be duplicates become rejections, and the shard is committed. So only the *commit* waits for lower
shards, with the records in the journal on disk: no engine, worker or record waits. A committed shard is final, and a
merge copies nothing.

Several dedup steps in a chain. A key at the second step counts only if its record was no duplicate at the first, which
is certain only when its shard is finalized. So keys at the first step are compared as soon as they are claimed; keys at
later steps are visible to others from their finalization on.

Exactly once. A shard's keys are read from its journal, not from what was claimed on the way: if a worker is lost and
its records run again, their new keys replace the old ones. A finalized shard is on disk before any worker gets the
answer (synth/schedule/dedup_keys.py), and a repeated question gets the same answer.

Why this is not the pool of Self-Instruct (synth/schedule/pool.py), which also decides in record order: there a record's
*next prompt* depends on the decision, so it has to wait. Here nothing does, and waiting would hold back all records
above a slow one.

Limits: other runs are not compared. A record rejected early stays rejected even if the other record was then lost and
run again with another text (on an engine that is not deterministic), or was rejected as poison, which claims no key.

Partitions. Runs of many millions of records have their keys in several processes. If only equal keys are similar, keys
are partitioned by hash, and a key is sent to one partition. Otherwise keys are partitioned by record, and a key is sent
to all partitions: the lowest of their answers is the answer.

Bookkeeping only: no workers, no files. An `Index` decides which keys are similar.
"""

import asyncio
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Protocol
from zlib import crc32

from synth.records import DedupKey, Duplicate, Place


class Buckets:
    """Places grouped by a value that they share. Nearly all groups have one place, which is stored without a set."""

    def __init__(self) -> None:
        self._places: dict[Hashable, Place | set[Place]] = {}

    def add(self, shared: Hashable, place: Place) -> None:
        there = self._places.setdefault(shared, place)
        if isinstance(there, set):
            there.add(place)
        elif there != place:
            self._places[shared] = {there, place}

    def discard(self, shared: Hashable, place: Place) -> None:
        there = self._places.get(shared)
        if isinstance(there, set) and len(there) > 1:
            there.discard(place)
        elif there is not None:
            del self._places[shared]

    def at(self, shared: Hashable) -> set[Place]:
        there = self._places.get(shared, set())
        return there if isinstance(there, set) else {there}


class Index(Protocol):
    """The dedup keys of one step. Whether two keys are similar must depend on these two only, and be symmetric. Methods
    take many keys at a time, each with the place that claims it."""

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None:
        """Set the keys of these places, replacing earlier ones."""
        ...

    def forget(self, place: Place) -> None: ...

    def close(self, places: Sequence[Place]) -> None:
        """Make the keys of these places permanent: they are neither forgotten nor replaced."""
        ...

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        """For each place the lowest place below it with a similar key, or None."""
        ...


class Duplicates(Protocol):
    """The attribute `duplicates` of a dedup step: the index for its keys, and the reason of its rejections. Can be
    pickled. Optional attributes: `by_key`, if only equal keys are similar, and `claims_of_a_process`, the number of
    keys that suit one process."""

    @property
    def reason(self) -> str: ...

    def index(self) -> Index: ...


def parts_for(duplicates: Mapping[str, Duplicates], records: int) -> int:
    """The number of partitions for the keys of a run with so many records."""
    most = [getattr(duplicate, "claims_of_a_process", records) for duplicate in duplicates.values()]
    return max([1, *(-(-records // one) for one in most if one)])


class Division:
    """Assigns dedup keys to partitions."""

    def __init__(self, duplicates: Mapping[str, Duplicates], parts: int):
        self._by_key = {step for step, one in duplicates.items() if getattr(one, "by_key", False)}
        self._parts = parts

    def owner(self, claim: DedupKey) -> int:
        """The partition that stores the key."""
        return (crc32(claim.key) if claim.step in self._by_key else claim.place[0]) % self._parts

    def asked(self, claim: DedupKey) -> Sequence[int]:
        """The partitions that may have a similar key."""
        return (self.owner(claim),) if claim.step in self._by_key else range(self._parts)


class Part:
    """One partition of the keys, or all of them. Its methods are coroutines, as it may be in another process."""

    def __init__(self, duplicates: Mapping[str, Duplicates], number: int = 0, parts: int = 1):
        self._indexes = {step: one.index() for step, one in duplicates.items()}
        self._division, self._number = Division(duplicates, parts), number
        self._first = next(iter(duplicates))
        self._open: dict[int, set[Place]] = {}  # places at the first step, of records that are not finalized
        self._finalized = 0  # all lower records are finalized

    async def claim(self, claims: Sequence[DedupKey]) -> list[Place | None]:
        """For each key the lowest known place below with a similar key, or None."""
        open_ = [
            claim
            for claim in claims
            if claim.step == self._first and claim.place[0] >= self._finalized and self._owns(claim)
        ]
        self._indexes[self._first].put(*_places_and_keys(open_))
        for one in open_:
            self._open.setdefault(one.place[0], set()).add(one.place)
        found: dict[int, Place | None] = {}
        for step, index in self._indexes.items():
            asked = [at for at, one in enumerate(claims) if one.step == step]
            found |= zip(asked, index.lowest(*_places_and_keys([claims[at] for at in asked])), strict=True)
        return [found[at] for at in range(len(claims))]

    async def finalize(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> list[Place | None]:
        """The same for all keys of finished records at a step; these keys become permanent."""
        index, own = self._take(numbers, step, claims)
        found = index.lowest(*_places_and_keys(claims))
        index.close([one.place for one in own])
        return found

    async def restore(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> None:
        """Make keys permanent without comparing them."""
        index, own = self._take(numbers, step, claims)
        index.close([one.place for one in own])

    def _take(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> tuple[Index, list[DedupKey]]:
        index, own = self._indexes[step], [claim for claim in claims if self._owns(claim)]
        if step == self._first:
            made = {claim.place for claim in own}
            for number in numbers:
                for place in self._open.pop(number, set()) - made:  # of a lost worker
                    index.forget(place)
            self._finalized = numbers.stop
        index.put(*_places_and_keys(own))
        return index, own

    def _owns(self, claim: DedupKey) -> bool:
        return self._division.owner(claim) == self._number


class SomePart(Protocol):
    """A Part in any process."""

    async def claim(self, claims: Sequence[DedupKey]) -> list[Place | None]: ...

    async def finalize(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> list[Place | None]: ...

    async def restore(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> None: ...


class DedupKeys:
    """All dedup keys of a run, for the steps in `duplicates` in the order of the chain; in `parts`, or in one here.

    `claim` keys in any order, `finalize` shards from record 0 on. Both take the time of an index lookup.
    """

    def __init__(self, duplicates: Mapping[str, Duplicates], parts: Sequence[SomePart] = ()):
        self.parts = parts or [Part(duplicates)]
        self._division = Division(duplicates, len(self.parts))
        self._reasons = {step: one.reason for step, one in duplicates.items()}
        self.finalized = 0  # all lower records are finalized

    async def claim(self, claim: DedupKey) -> Place | None:
        """The lowest known place below with a similar key, or None."""
        asked = (self.parts[part].claim([claim]) for part in self._division.asked(claim))
        return lowest([like for [like] in await asyncio.gather(*asked)])

    async def finalize(self, numbers: range, claims: Iterable[DedupKey]) -> list[Duplicate]:
        """The duplicates among finished records, given all their keys.

        Raises ValueError unless exactly the lower records are finalized. The caller writes `numbers`, `claims` and the
        answer to disk before using it, for `restore`.
        """
        if numbers.start != self.finalized:
            raise ValueError(f"records {self.finalized} to {numbers.start - 1} are not finalized yet")
        found: dict[int, list[Duplicate]] = {}
        for step, made in self._by_step(claims):
            made = [claim for claim in made if not _covered(claim.place, found)]
            for claim, like in zip(made, await self._likes(numbers, step, made), strict=True):
                if like is not None:
                    duplicate = Duplicate(step, self._reasons[step], claim.place, like)
                    found.setdefault(claim.place[0], []).append(duplicate)
        self.finalized = numbers.stop
        return [duplicate for number in sorted(found) for duplicate in found[number]]

    async def restore(self, numbers: range, claims: Sequence[DedupKey], duplicates: Sequence[Duplicate]) -> None:
        """Restore an earlier answer of `finalize` without comparing again."""
        found: dict[int, list[Duplicate]] = {}
        for step, made in self._by_step(claims):
            made = [claim for claim in made if not _covered(claim.place, found)]
            shared = (self._shares(part, step, made) for part in range(len(self.parts)))
            some = zip(self.parts, shared, strict=True)
            await asyncio.gather(*(part.restore(numbers, step, [made[at] for at in share]) for part, share in some))
            for duplicate in duplicates:
                if duplicate.step == step:
                    found.setdefault(duplicate.place[0], []).append(duplicate)
        self.finalized = numbers.stop

    async def _likes(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> list[Place | None]:
        shares = [self._shares(part, step, claims) for part in range(len(self.parts))]
        some = zip(self.parts, shares, strict=True)
        answers = await asyncio.gather(
            *(part.finalize(numbers, step, [claims[at] for at in share]) for part, share in some)
        )
        likes: list[list[Place | None]] = [[] for _ in claims]
        for share, found in zip(shares, answers, strict=True):
            for at, like in zip(share, found, strict=True):
                likes[at].append(like)
        return [lowest(some) for some in likes]

    def _shares(self, part: int, step: str, claims: Sequence[DedupKey]) -> list[int]:
        return [at for at, claim in enumerate(claims) if part in self._division.asked(claim)]

    def _by_step(self, claims: Iterable[DedupKey]) -> list[tuple[str, list[DedupKey]]]:
        """The keys of each step, in the order of the chain, sorted by place."""
        made: dict[str, list[DedupKey]] = {step: [] for step in self._reasons}
        for claim in sorted(claims, key=lambda one: one.place):
            made[claim.step].append(claim)
        return list(made.items())


def lowest(places: Iterable[Place | None]) -> Place | None:
    return min((place for place in places if place is not None), default=None)


def _covered(place: Place, found: Mapping[int, Sequence[Duplicate]]) -> bool:
    """Whether the place, or the record it branched from, is a duplicate at an earlier step."""
    return any(duplicate.covers(place) for duplicate in found.get(place[0], ()))


def _places_and_keys(claims: Sequence[DedupKey]) -> tuple[list[Place], list[bytes]]:
    return [claim.place for claim in claims], [claim.key for claim in claims]
