"""Hashes of words in a row."""

import random

import pytest

from synth.quality.ngrams import hashed, windows


def test_different_words_in_a_row_have_different_hashes():
    rng = random.Random(0)
    texts = {tuple(rng.choices([f"w{n}" for n in range(50)], k=13)) for _ in range(5_000)}
    assert len({int(windows(hashed(text), 13)[0]) for text in texts}) == len(texts)


def test_equal_words_have_equal_hashes_wherever_they_stand():
    first, second = (windows(hashed(text.split()), 2) for text in ("a b c a b", "x a b"))
    assert first[0] == first[3] == second[1]
    assert first[0] != windows(hashed(["b", "a"]), 2)[0]


@pytest.mark.parametrize(("count", "n", "found"), [(0, 1, 0), (2, 3, 0), (3, 3, 1), (5, 2, 4)])
def test_there_is_one_for_each_place_where_so_many_words_begin(count, n, found):
    assert len(windows(hashed(["a"] * count), n)) == found


def test_a_hash_is_the_same_in_every_process():
    assert int(windows(hashed(["name", "a", "bee"]), 3)[0]) == 15323469778779498040
