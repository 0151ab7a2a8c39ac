"""Which texts are alike: exactly, nearly, and in other words; and what the steps do with the answer."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.demo_model.grammar import topic
from synth.quality.duplicates import DedupKeys
from synth.quality.exact_duplicate import ExactDuplicate, ExactIndex, normalized
from synth.quality.minhash_index import MinHashIndex, rows_of_a_band
from synth.quality.near_duplicate import NearDuplicate, signature
from synth.quality.semantic_duplicate import SemanticDuplicate
from synth.quality.vector_index import VectorIndex
from synth.records import DedupKey, Rejection
from tests.quality.judged import judged


class DedupHandle:
    """A record's door to claims that are kept here."""

    def __init__(self, step, claims, number):
        self.step, self.claims, self.number = step, claims, number

    async def claim(self, key):
        like = await self.claims.claim(DedupKey(self.step, (self.number,), key))
        return None if like is None else str(like[0])


class Door:
    def __init__(self, step, claims, number):
        self.dedup = DedupHandle(step, claims, number)


class Directions:
    """An embedding by a table of directions in the plane, in degrees."""

    def __init__(self, degrees):
        self.degrees = degrees

    async def embed(self, text):
        angle = np.radians(self.degrees[text])
        return 3 * np.array([np.cos(angle), np.sin(angle)])


async def kept(step, texts):
    """The numbers of the records whose texts these are, in order, that a step keeps."""
    claims = DedupKeys({"step": step.duplicates})
    verdicts = [await judged(step, Door("step", claims, n), instruction=text) for n, text in enumerate(texts)]
    return [number for number, verdict in enumerate(verdicts) if verdict is None]


async def test_case_punctuation_and_blanks_make_no_difference():
    texts = ["What is 2 + 2?", "what is 2+2", "What is 2 + 3?", " WHAT  IS 2 2!", "Ｗhat is 2 + 2？"]
    assert await kept(ExactDuplicate(), texts) == [0, 2]


@pytest.mark.parametrize(("one", "other"), [("?!", "!?"), ("नमस्ते", "नमसत"), ("C++", "C#")])
def test_what_is_left_of_a_text_still_tells_it_from_others(one, other):
    assert (normalized(one) == normalized(other)) == (one == "C++")


LONG = "Explain to a child of ten how photosynthesis works, with an example from the garden, in at most 100 words."


async def test_a_changed_word_is_nearly_the_same_and_other_words_are_not():
    texts = [
        LONG,
        LONG.replace("garden", "forest"),
        LONG.replace("photosynthesis", "the heart").replace("garden", "body"),
        "Write a poem about autumn.",
        LONG.upper(),
    ]
    assert await kept(NearDuplicate(), texts) == [0, 2, 3]


async def test_courtesies_and_articles_make_no_difference_to_nearly_the_same():
    texts = [
        "Explain photosynthesis in simple terms.",
        "Can you please explain photosynthesis in simple terms?",
        "Hi! Could you explain the photosynthesis to me in simple terms?",
        "What is the capital of France?",
        "What is the capital of Spain?",
    ]
    assert await kept(NearDuplicate(), texts) == [0, 3, 4]
    assert await kept(NearDuplicate(), ["Can you?", "can I", "The"]) == [0, 1, 2]


async def test_scripts_without_blanks_are_compared_too():
    text = "请用简单的话向一个十岁的孩子解释光合作用是怎样进行的，并举一个花园里的例子。"
    texts = [text, text.replace("花园", "森林"), "请写一首关于秋天的诗。"]
    assert await kept(NearDuplicate(threshold=0.7), texts) == [0, 2]


async def test_short_texts_are_alike_when_they_are_the_same():
    assert await kept(NearDuplicate(), ["Hi", "hi!", "Ho", "?"]) == [0, 2, 3]


def test_a_signature_is_the_same_in_every_process_and_every_order():
    assert signature("abc abc", 3, 16) == signature("abc  ABC", 3, 16)
    assert signature("abcdefgh", 3, 16).hex()[:16] == "9b7128b52957abf4"


def test_bands_are_as_long_as_they_can_be_to_catch_what_is_at_the_threshold():
    for threshold in (0.3, 0.5, 0.8, 0.95, 1.0):
        rows = rows_of_a_band(threshold, 128)
        assert 1 - (1 - threshold**rows) ** (128 // rows) >= 0.95
    assert rows_of_a_band(0.8, 128) == 7


def jaccard(one, other, n=5):
    runs = [{text[at : at + n] for at in range(max(1, len(text) - n + 1))} for text in map(normalized, (one, other))]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def test_pairs_far_above_the_threshold_are_found_and_pairs_far_below_are_not():
    rng = random.Random(0)
    index, wrong, above, below = MinHashIndex(0.8, 128), 0, 0, 0
    texts = [topic(rng).question for _ in range(150)]
    texts += [text[: len(text) - rng.randint(0, 12)] for text in texts]
    for place, text in enumerate(texts):
        index.put([(place,)], [signature(text, 5, 128)])
    for place, text in enumerate(texts):
        highest = max((jaccard(text, other) for other in texts[:place]), default=0)
        found = index.lowest([(place,)], [signature(text, 5, 128)]) != [None]
        above += highest > 0.9
        below += highest < 0.7
        wrong += found if highest < 0.7 else (not found if highest > 0.9 else 0)
    assert above > 50 and below > 50
    assert wrong <= 3


async def test_near_directions_are_the_same_in_other_words():
    pytest.importorskip("faiss")
    # At 12.8 degrees the squared distance of two vectors of length 1 is 0.05.
    degrees = {"a": 0, "b": 12, "c": 13, "d": 180, "e": 359}
    step = SemanticDuplicate(model=Directions(degrees))
    assert await kept(step, ["a", "b", "c", "d", "e"]) == [0, 3]
    assert await kept(step, ["a", "c", "d", "e"]) == [0, 1, 2]


@pytest.mark.parametrize("vector", [[0.0, 0.0], [float("nan"), 1.0]])
async def test_no_embedding_is_a_rejection(vector):
    pytest.importorskip("faiss")

    class Empty:
        async def embed(self, text):
            return vector

    with pytest.raises(Rejection, match="no_embedding"):
        await SemanticDuplicate(model=Empty())({"instruction": "a"}, None)


def test_a_model_that_embeds_nothing_is_refused():
    pytest.importorskip("faiss")
    with pytest.raises(ValueError, match=r"object is not a valid embedding: it has no embed\(text\)"):
        SemanticDuplicate(model=object())


def test_embeddings_of_different_lengths_can_not_be_compared():
    index = VectorIndex(0.05)
    index.put([(0,)], [np.array([1, 0], "<f4").tobytes()])
    with pytest.raises(ValueError, match="a key has 3 numbers, earlier ones had 2"):
        index.lowest([(1,)], [np.array([1, 0, 0], "<f4").tobytes()])


def exact(word):
    return ExactIndex(), word.encode()


def near(word):
    return MinHashIndex(0.8, 16), signature(word * 20, 5, 16)


def semantic(word):
    angle = np.radians(60 * "abc".index(word))
    return VectorIndex(0.05), np.array([np.cos(angle), np.sin(angle)], "<f4").tobytes()


actions = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([None, "a", "b", "c"])), max_size=25)


@pytest.mark.parametrize("make", [exact, near, semantic])
@given(actions, st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_an_index_gives_the_lowest_of_what_was_put_last_at_each_place(make, actions, closed):
    index, there = make("a")[0], {}
    for number, word in actions:
        if word is None:
            index.forget((number,))
            there.pop(number, None)
        else:
            index.put([(number,)], [make(word)[1]])
            there[number] = word
    index.close([(number,) for number in there if number < closed])
    for number in range(closed, 7):
        if number % 2:
            index.forget((number,))
            there.pop(number, None)
    expected = [min((n for n, other in there.items() if other == word and n < 5), default=None) for word in "abc"]
    found = index.lowest([(5,)] * 3, [make(word)[1] for word in "abc"])
    assert found == [None if number is None else (number,) for number in expected]


@pytest.mark.parametrize("make", [exact, near, semantic])
def test_branches_of_a_record_are_below_each_other(make):
    index, key = make("a")
    index.put([(3, 2), (3, 0), (3, 1)], [key] * 3)
    index.close([(3, 2), (3, 0), (3, 1)])
    asked = [(3, 0), (3, 1), (3, 2), (2,), (4,)]
    assert index.lowest(asked, [key] * 5) == [None, (3, 0), (3, 0), None, (3, 0)]


def test_many_signatures_are_found_among_many_more():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (20_000, 64), np.uint8)
    keys[5000:] = np.where(rng.random((15_000, 64)) < 0.12, keys[5000:], keys[rng.integers(0, 5000, 15_000)])
    index, size = MinHashIndex(0.8, 64), 512
    places = [(number,) for number in range(len(keys))]
    found = []
    for start in range(0, len(keys), size):
        some = places[start : start + size], [key.tobytes() for key in keys[start : start + size]]
        index.put(*some)
        found += index.lowest(*some)
        index.close(some[0])
    rows = rows_of_a_band(0.8, 64)
    for number in range(400, len(keys), 400):
        same = keys[:number] == keys[number]
        bands = same[:, : 64 // rows * rows].reshape(number, -1, rows).all(axis=2).any(axis=1)
        alike = np.flatnonzero(bands & (same.sum(axis=1) >= 0.8 * 64))
        assert found[number] == ((alike[0],) if len(alike) else None)
    assert sum(one is not None for one in found) > 5000


def unit_vectors(rng, count, spread):
    vectors = rng.standard_normal((count, len(spread))) * spread
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")


@pytest.mark.parametrize("decay", [0.0, 0.7])
@pytest.mark.parametrize("distance", [0.05, 0.4])
def test_all_neighbours_of_a_vector_are_found_whatever_was_left_out(decay, distance):
    rng = np.random.default_rng(0)
    vectors = unit_vectors(rng, 20_000, np.arange(1, 49) ** -decay)
    vectors[6000:7000] += 0.03 * unit_vectors(rng, 1000, np.ones(48))
    vectors[8000:9000] = vectors[:1000] + 0.23 * unit_vectors(rng, 1000, np.ones(48))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    keys, places = [vector.tobytes() for vector in vectors], [(number,) for number in range(len(vectors))]
    index = VectorIndex(distance)
    for start in range(0, len(keys), 1500):
        index.put(places[start : start + 1500], keys[start : start + 1500])
    asked = rng.permutation(len(vectors))[:400].tolist() + list(range(8000, 8200))
    found = index.lowest([places[number] for number in asked], [keys[number] for number in asked])
    for number, one in zip(asked, found, strict=True):
        squares = ((vectors[:number].astype(float) - vectors[number].astype(float)) ** 2).sum(axis=1)
        near = np.flatnonzero(squares < distance)
        assert one == ((near[0],) if len(near) else None)


@pytest.mark.parametrize("value", [None, " "])
async def test_no_instruction_is_a_reason_of_its_own(value):
    assert await judged(NearDuplicate(), None, instruction=value) == "no_instruction"
