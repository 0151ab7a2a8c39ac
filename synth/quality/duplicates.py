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
duplicate at the first, which is not known for sure before its shard is settled. So claims at the first step are looked
at as soon as they are made, those at later ones from their settlement on.

Exactly once. A shard's claims are taken from its records as they stand in the journal, not from what was claimed on
the way: if a worker is lost, and its records are made again, their new claims take the place of the old ones. What is
settled is written down before anyone is told (synth/schedule/claims.py), and told again if it is asked again.

Why not the pool of Self-Instruct (synth/schedule/pool.py), which decides in record order too: there a record's *next
prompt* depends on the decision, so it has to wait; here nothing does, and waiting would hold back all that is above one
slow record.

What it does not know: other runs; and a record that was ended early by a claim stays ended, though the claim's own
record was then lost, and made again with other words, by an engine that gives other words to the same seed, or set
aside as poison, which claims nothing.

Plain bookkeeping: knows nothing of workers, files, or of what makes keys alike (see `Index`).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Protocol

from synth.records import Claim, Duplicate, Place


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
    """The claims of one step. Which keys are alike must depend on the two of them alone, either way round."""

    def put(self, place: Place, key: bytes) -> None:
        """In place of what was claimed there before."""
        ...

    def forget(self, place: Place) -> None: ...

    def lowest(self, place: Place, key: bytes) -> Place | None:
        """The lowest place below this one that has a key like this one."""
        ...


class Duplicates(Protocol):
    """What a step against duplicates has in its attribute `duplicates`: the index that all its claims go into, and the
    reason of its rejections. It goes to another process by pickle."""

    @property
    def reason(self) -> str: ...

    def index(self) -> Index: ...


class Claims:
    """All claims of a run, of the steps in `duplicates`, in the order of the chain.

    `claim` as records come, `settle` shard by shard from record 0. Both take the time of a look into an index.
    """

    def __init__(self, duplicates: Mapping[str, Duplicates]):
        self._indexes = {step: one.index() for step, one in duplicates.items()}
        self._reasons = {step: one.reason for step, one in duplicates.items()}
        self._order = {step: place for place, step in enumerate(duplicates)}
        self._first = next(iter(duplicates))
        self._open: dict[int, set[Place]] = {}  # at the first step, of records that are not settled
        self._found: dict[int, list[Duplicate]] = {}
        self.settled = 0  # all records below are

    def claim(self, claim: Claim) -> Place | None:
        """The lowest of the lower places that are known to have a key alike."""
        if claim.step == self._first and claim.place[0] >= self.settled:
            self._indexes[self._first].put(claim.place, claim.key)
            self._open.setdefault(claim.place[0], set()).add(claim.place)
        return self._indexes[claim.step].lowest(claim.place, claim.key)

    def settle(self, numbers: range, claims: Iterable[Claim]) -> list[Duplicate]:
        """The duplicates among finished records, whose claims these are, all of them.

        Raises ValueError where a lower record is not settled. Of records that are settled it gives what it gave before.
        Whoever calls this writes `numbers`, `claims` and the answer down before anybody hears of it, for `restore`.
        """
        if numbers.stop > self.settled:
            if numbers.start != self.settled:
                raise ValueError(f"records {self.settled} to {numbers.start - 1} are not settled yet")
            self._settle(numbers, sorted(claims, key=lambda one: (one.place[0], self._order[one.step], one.place)))
        return [duplicate for number in numbers for duplicate in self._found.get(number, [])]

    def restore(self, numbers: range, claims: Sequence[Claim], duplicates: Sequence[Duplicate]) -> None:
        """What `settle` said in an earlier run, without looking again."""
        for duplicate in duplicates:
            self._found.setdefault(duplicate.place[0], []).append(duplicate)
        for claim in claims:
            if self._counts(claim):
                self._indexes[claim.step].put(claim.place, claim.key)
        self.settled = numbers.stop

    def _settle(self, numbers: range, claims: Sequence[Claim]) -> None:
        made = {claim.place for claim in claims if claim.step == self._first}
        for number in numbers:
            for place in self._open.pop(number, set()) - made:  # of a life that was lost
                self._indexes[self._first].forget(place)
        for claim in claims:
            if not self._counts(claim):
                continue
            index = self._indexes[claim.step]
            like = index.lowest(claim.place, claim.key)
            index.put(claim.place, claim.key)
            if like is not None:
                found = Duplicate(claim.step, self._reasons[claim.step], claim.place, like)
                self._found.setdefault(claim.place[0], []).append(found)
        self.settled = numbers.stop

    def _counts(self, claim: Claim) -> bool:
        """It was made by no duplicate of an earlier step."""
        return not any(
            found.covers(claim.place) and self._order[found.step] < self._order[claim.step]
            for found in self._found.get(claim.place[0], [])
        )
