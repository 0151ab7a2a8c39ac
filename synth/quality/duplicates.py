"""Of records that are alike the one with the lowest number is kept, whoever made it and whenever.

The rule. A record that comes to a step against duplicates claims a key there: a hash, a signature, an embedding of its
text. It is a duplicate if a lower record claimed a key like its own at that step, be that one kept in the end or not.
This is the rule of Magpie's recipe (arXiv 2406.08464: an instruction is dropped if one of lower index is near), and it
is chosen for what follows from it: whether a record is a duplicate depends on two records at a time, never on a chain
of decisions, so that claims may come in in any order. What is known of lower claims only ever grows, and with it only
the set of duplicates: a record once found to be one stays one.

Hence two moments of decision, and no wait between them:

* When a record claims, all lower claims that are known are looked at. If one of them is alike the record ends there,
  and costs no more tokens. Else it goes on at once: nobody waits for a lower number that is slow.
* When a shard is finished, and all shards below it are, every claim that could matter is known. Of its kept rows those
  that were duplicates after all become rejections, and the shard is committed. So its *commit* waits for lower shards,
  in its journal, on disk: no engine does, no worker and no record. A committed shard is final, as without all this,
  and a merge copies nothing.

Several steps against duplicates in one chain. What a record claims at the second step counts only if it was no
duplicate at the first, which is not known for sure before its shard is finalized. So claims at the first step are
looked at as soon as they are made, those at later ones from their finalization on.

Exactly once. A shard's claims are taken from its records as they stand in the journal, not from what was claimed on
the way: if a worker is lost, and its records are made again, their new claims take the place of the old ones. What is
finalized is written down before anyone is told (synth/schedule/dedup_keys.py), and told again if it is asked again.

Why not the pool of Self-Instruct (synth/schedule/pool.py), which decides in record order too: there a record's *next
prompt* depends on the decision, so it has to wait; here nothing does, and waiting would hold back all that is above one
slow record.

What it does not know: other runs; and a record that was ended early by a claim stays ended, though the claim's own
record was then lost, and made again with other words, by an engine that gives other words to the same seed, or set
aside as poison, which claims nothing.

Parts. A run of many millions has its claims in several processes. Where only equal keys are alike, each has its share
of the keys, and a claim is for one of them alone. Else each has its share of the records, and a claim is for all: the
lowest of their answers is what one process would have said.

Plain bookkeeping: knows nothing of workers, files, or of what makes keys alike (see `Index`).
"""

import asyncio
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Protocol
from zlib import crc32

from synth.records import DedupKey, Duplicate, Place


class Buckets:
    """Places by something that they share. Nearly all are alone with it, and one alone takes no set."""

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
    """The claims of one step. Which keys are alike must depend on the two of them alone, either way round. Keys come
    many at a time, each with the place that claims it."""

    def put(self, places: Sequence[Place], keys: Sequence[bytes]) -> None:
        """In place of what was claimed there before."""
        ...

    def forget(self, place: Place) -> None: ...

    def close(self, places: Sequence[Place]) -> None:
        """What was claimed there is never forgotten, and nothing is put there any more."""
        ...

    def lowest(self, places: Sequence[Place], keys: Sequence[bytes]) -> list[Place | None]:
        """For each place the lowest below it that has a key like this one."""
        ...


class Duplicates(Protocol):
    """What a step against duplicates has in its attribute `duplicates`: the index that all its claims go into, and the
    reason of its rejections. It goes to another process by pickle. It may say `by_key`, that only equal keys are alike,
    and `claims_of_a_process`, how many are as much as one process is to have."""

    @property
    def reason(self) -> str: ...

    def index(self) -> Index: ...


def parts_for(duplicates: Mapping[str, Duplicates], records: int) -> int:
    """How many parts a run of so many records has its claims in."""
    most = [getattr(one, "claims_of_a_process", records) for one in duplicates.values()]
    return max([1, *(-(-records // one) for one in most if one)])


class Division:
    """What of a run's claims is whose, in so many parts."""

    def __init__(self, duplicates: Mapping[str, Duplicates], parts: int):
        self._by_key = {step for step, one in duplicates.items() if getattr(one, "by_key", False)}
        self._parts = parts

    def owner(self, claim: DedupKey) -> int:
        """The part that has it from now on."""
        return (crc32(claim.key) if claim.step in self._by_key else claim.place[0]) % self._parts

    def asked(self, claim: DedupKey) -> Sequence[int]:
        """The parts that may have one like it."""
        return (self.owner(claim),) if claim.step in self._by_key else range(self._parts)


class Part:
    """The claims that are one part's own, all where there is one part. Coroutines, as it may be another process."""

    def __init__(self, duplicates: Mapping[str, Duplicates], number: int = 0, parts: int = 1):
        self._indexes = {step: one.index() for step, one in duplicates.items()}
        self._division, self._number = Division(duplicates, parts), number
        self._first = next(iter(duplicates))
        self._open: dict[int, set[Place]] = {}  # at the first step, of records that are not finalized
        self._finalized = 0  # all records below are

    async def claim(self, claims: Sequence[DedupKey]) -> list[Place | None]:
        """For each the lowest of the lower places that this part knows to have a key alike."""
        open_ = [
            one for one in claims if one.step == self._first and one.place[0] >= self._finalized and self._owns(one)
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
        """The same for all claims at a step that finished records made, which are final."""
        index, own = self._take(numbers, step, claims)
        found = index.lowest(*_places_and_keys(claims))
        index.close([one.place for one in own])
        return found

    async def restore(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> None:
        """The same without looking."""
        index, own = self._take(numbers, step, claims)
        index.close([one.place for one in own])

    def _take(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> tuple[Index, list[DedupKey]]:
        index, own = self._indexes[step], [one for one in claims if self._owns(one)]
        if step == self._first:
            made = {claim.place for claim in own}
            for number in numbers:
                for place in self._open.pop(number, set()) - made:  # of a life that was lost
                    index.forget(place)
            self._finalized = numbers.stop
        index.put(*_places_and_keys(own))
        return index, own

    def _owns(self, claim: DedupKey) -> bool:
        return self._division.owner(claim) == self._number


class SomePart(Protocol):
    """A Part, wherever it is."""

    async def claim(self, claims: Sequence[DedupKey]) -> list[Place | None]: ...

    async def finalize(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> list[Place | None]: ...

    async def restore(self, numbers: range, step: str, claims: Sequence[DedupKey]) -> None: ...


class DedupKeys:
    """All claims of a run, of the steps in `duplicates`, in the order of the chain: in `parts`, or in one that is here.

    `claim` as records come, `finalize` shard by shard from record 0. Both take the time of a look into an index.
    """

    def __init__(self, duplicates: Mapping[str, Duplicates], parts: Sequence[SomePart] = ()):
        self.parts = parts or [Part(duplicates)]
        self._division = Division(duplicates, len(self.parts))
        self._reasons = {step: one.reason for step, one in duplicates.items()}
        self.finalized = 0  # all records below are

    async def claim(self, claim: DedupKey) -> Place | None:
        """The lowest of the lower places that are known to have a key alike."""
        asked = (self.parts[part].claim([claim]) for part in self._division.asked(claim))
        return lowest([like for [like] in await asyncio.gather(*asked)])

    async def finalize(self, numbers: range, claims: Iterable[DedupKey]) -> list[Duplicate]:
        """The duplicates among finished records, whose claims these are, all of them.

        Raises ValueError unless all lower records are finalized, and none of these. Whoever calls this writes
        `numbers`, `claims` and the answer down before anybody hears of it, for `restore`.
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
        """What `finalize` said in an earlier run, without looking again."""
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
        told = await asyncio.gather(
            *(part.finalize(numbers, step, [claims[at] for at in share]) for part, share in some)
        )
        likes: list[list[Place | None]] = [[] for _ in claims]
        for share, found in zip(shares, told, strict=True):
            for at, like in zip(share, found, strict=True):
                likes[at].append(like)
        return [lowest(some) for some in likes]

    def _shares(self, part: int, step: str, claims: Sequence[DedupKey]) -> list[int]:
        return [at for at, claim in enumerate(claims) if part in self._division.asked(claim)]

    def _by_step(self, claims: Iterable[DedupKey]) -> list[tuple[str, list[DedupKey]]]:
        """All steps, in the order of the chain, with the claims there in the order of their places."""
        made: dict[str, list[DedupKey]] = {step: [] for step in self._reasons}
        for claim in sorted(claims, key=lambda one: one.place):
            made[claim.step].append(claim)
        return list(made.items())


def lowest(places: Iterable[Place | None]) -> Place | None:
    return min((place for place in places if place is not None), default=None)


def _covered(place: Place, found: Mapping[int, Sequence[Duplicate]]) -> bool:
    """It is a duplicate of an earlier step, or what became of one."""
    return any(duplicate.covers(place) for duplicate in found.get(place[0], ()))


def _places_and_keys(claims: Sequence[DedupKey]) -> tuple[list[Place], list[bytes]]:
    return [one.place for one in claims], [one.key for one in claims]
