"""Text that goes round in circles."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.demo_model.grammar import topic
from synth.quality.repetition import Repetition, Words
from tests.quality.judged import judged

GOOD = """Photosynthesis is how plants make sugar. It needs light, water and carbon dioxide, and it takes place in the
chloroplasts.

1. Light splits water, which gives off oxygen.
2. The energy that is won is stored in two carriers.
3. With these, carbon dioxide is built into sugar.

So a leaf in the sun is a small factory, and the air that we breathe is what it throws away."""


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "Yes.",
        "No, no, no!",
        "To be or not to be, that is the question.",
        "A table:\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |",
        "Code:\n```python\n" + "    print()\n" * 30 + "```\nIt prints thirty empty lines, each by its own statement.",
    ],
)
async def test_ordinary_text_is_kept(text):
    assert await judged(Repetition(), response=text) is None


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "\n" + "The answer is 5.\n" * 20,
        "\n\n".join([GOOD.split("\n\n")[0]] * 4),
        "- a\n- b\n- a\n- b\n- a\n",
    ],
)
async def test_lines_that_come_again_are_found(text):
    assert await judged(Repetition(), response=text) == "repeated_lines"


@pytest.mark.parametrize(
    "text",
    [
        "I am here and " * 30,
        "and then he said that it was " + "very very " * 40,
        GOOD.replace("\n", " ") + " so the plant that stands in the sun makes the sugar that it needs" * 5,
    ],
)
async def test_words_that_come_again_are_found(text):
    assert await judged(Repetition(), response=text) == "repeated_words"


@pytest.mark.parametrize(
    ("text", "n", "share"),
    [
        ("a b a b c c", 2, 4 / 6),  # the overlapping `b a` is there once
        ("a a a a", 2, 1.0),  # each word counts once, though three windows hold it
        ("aa bb cc aa bb dd", 2, 8 / 12),
        ("a b c d", 2, 0.0),
        ("a", 2, 0.0),
    ],
)
def test_the_share_of_repeated_words_is_by_letters_each_counted_once(text, n, share):
    assert Words(text.split()).covered(n) == pytest.approx(share)


words = st.lists(st.sampled_from(["a", "bb", "ccc", "d"]), min_size=1, max_size=25)


@given(words, st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_the_share_is_that_of_a_search_word_by_word(words, n):
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    inside = {at + step for at, gram in enumerate(grams) if grams.count(gram) > 1 for step in range(n)}
    expected = sum(len(words[at]) for at in inside) / sum(map(len, words))
    assert Words(words).covered(n) == pytest.approx(expected)
    assert Words(words).covered(n, top_only=True) <= Words(words).covered(n) + 1e-9


def test_the_most_frequent_words_are_those_that_cover_most():
    assert Words("aa bb x aa bb y c d z c d".split()).covered(2, top_only=True) == pytest.approx(8 / 15)


async def test_a_null_threshold_is_no_bound():
    text = GOOD + "\n" + "The answer is 5.\n" * 20
    step = Repetition(
        lines=None, paragraphs=None, line_text=None, paragraph_text=None, top_words={}, duplicate_words={}
    )
    assert await judged(step, response=text) is None


async def test_the_made_up_answers_of_the_demonstration_are_no_repetition():
    rng = random.Random(0)
    verdicts = [await judged(Repetition(), response=topic(rng).answer) for _ in range(200)]
    assert verdicts.count(None) > 180
