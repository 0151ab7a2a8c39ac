"""A record's door to the claims: what it hears, and what is noted of it."""

import pytest

from synth.engines import EngineError
from synth.quality.duplicates import DedupKeys
from synth.quality.exact_duplicate import ExactDuplicate, ExactMatches
from synth.records import DedupKey, Rejection
from tests.steps.fakes import finish


class Known:
    """DedupKeys at the steps `first` and `second`, in this process."""

    def __init__(self, failure=None):
        self.claims, self.failure = DedupKeys({step: ExactMatches() for step in ("first", "second")}), failure

    async def claim(self, claim):
        if self.failure:
            raise self.failure
        return await self.claims.claim(claim)


class Against:
    """A step that claims what `key` makes of the record."""

    duplicates = ExactMatches()

    def __init__(self, key):
        self.key = key

    async def __call__(self, record, llm):
        if twin := await llm.dedup.claim(self.key(record)):
            raise Rejection("alike", twin)
        return record


def word(record):
    return record["word"].encode()


async def test_a_record_hears_of_a_lower_one_and_all_that_both_claimed_is_noted():
    known = Known()
    one = await finish(Against(word), number=3, record={"word": "a"}, claims=known)
    other = await finish(Against(word), number=5, record={"word": "a"}, claims=known)
    assert (len(one.kept), one.claims) == (1, [DedupKey("first", (3,), b"a")])
    [rejected] = other.rejected
    assert (rejected["reason"], rejected["detail"], rejected["rejected_by"]) == ("alike", "3", "first")
    assert other.claims == [DedupKey("first", (5,), b"a")]


async def test_branches_claim_as_what_they_are_and_a_record_has_the_claims_of_all():
    def split(record, llm):
        return [{"word": "a"}, {"word": "b"}]

    finished = await finish(split, Against(word), number=17, claims=Known())
    assert sorted(finished.claims, key=lambda claim: claim.place) == [
        DedupKey("second", (17, 0), b"a"),
        DedupKey("second", (17, 1), b"b"),
    ]


async def test_a_record_that_is_rejected_later_has_claimed_all_the_same():
    def no(record, llm):
        raise Rejection("no")

    finished = await finish(Against(word), no, record={"word": "a"}, claims=Known())
    assert (len(finished.rejected), finished.claims) == (1, [DedupKey("first", (0,), b"a")])


async def test_lost_claims_are_an_engines_failure_whatever_the_step_makes_of_it():
    async def swallows(record, llm):
        try:
            await llm.dedup.claim(b"a")
        except EngineError:
            return record

    swallows.duplicates = ExactMatches()
    with pytest.raises(EngineError, match="gone"):
        await finish(swallows, record={"word": "a"}, claims=Known(EngineError("gone")))


@pytest.mark.parametrize(("key", "expected"), [("words", "TypeError: a dedup key must be bytes, not str")])
async def test_a_key_that_is_no_bytes_is_an_error_of_the_step(key, expected):
    finished = await finish(Against(lambda record: key), claims=Known())
    assert finished.rejected[0]["detail"].startswith(expected)
    assert finished.claims == []


async def test_a_step_claims_once():
    async def twice(record, llm):
        await llm.dedup.claim(b"a")
        await llm.dedup.claim(b"b")

    twice.duplicates = ExactMatches()
    finished = await finish(twice, claims=Known())
    assert "a record may call llm.dedup.claim only once in a step" in finished.rejected[0]["detail"]


@pytest.mark.parametrize("claims", [None, Known()])
async def test_a_step_that_does_not_say_that_it_compares_has_no_twins(claims):
    async def claims_all_the_same(record, llm):
        await llm.dedup.claim(b"a")

    finished = await finish(claims_all_the_same, claims=claims)
    assert "it needs a step with the attribute `duplicates`" in finished.rejected[0]["detail"]


async def test_in_a_run_without_claims_a_step_against_duplicates_says_so():
    finished = await finish(ExactDuplicate(), record={"instruction": "a"})
    assert "there is no llm.dedup" in finished.rejected[0]["detail"]
