"""Text that goes round in circles."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.demo_model.grammar import topic
from synth.quality.repetition import Repetition, Words
from tests.quality.judged import judged

LANDS = [
    "France",
    "Spain",
    "Italy",
    "Norway",
    "Sweden",
    "Poland",
    "Greece",
    "Turkey",
    "Egypt",
    "Kenya",
    "Ghana",
    "Peru",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
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
        "Colours:\n1. Red\n2. White\n3. Blue\n4. White\n5. Red\n6. Blue\n7. White\n8. Red",
        "\n".join([f"{n}. Library-{chr(96 + n)}" for n in range(1, 20)] + [f"{n}. Library-C" for n in range(20, 28)]),
        "Here are five:\n1. Luna (Feline)\n2. Luna (Feline)\n3. Luna (Feline)\n4. Luna (Feline)\n5. Luna (Feline)",
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


@given(st.integers(9, 39), st.sampled_from(["", "and ", "but "]))
@settings(max_examples=30, deadline=None)
async def test_a_long_phrase_may_not_come_twice_in_a_row(length, filler):
    phrase = " ".join(f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(length))
    said = f"She told us that {phrase} {filler}{phrase}, and then she left."
    assert await judged(Repetition(), response=said) == "repeated_words"
    other = f"She told us that {phrase} as one of the others {phrase}, and then she left."
    assert await judged(Repetition(looped_words={}, duplicate_words={}), response=other) is None
    numbers = " ".join(map(str, range(length)))
    twice = f"Twice: {numbers} {numbers} and so on."
    assert await judged(Repetition(duplicate_words={}), response=twice) is None


async def test_a_long_part_of_the_sentence_before_may_not_come_again():
    way = "way to turn on the smoke detector of the kitchen without having to climb a ladder at night"
    said = f"In reality, there is no {way}. However, there is a {way}."
    assert await judged(Repetition(), response=said) == "repeated_words"
    parallel = "If the list has one element, it returns the list. If the list has no element, it returns nothing."
    assert await judged(Repetition(), response=parallel) is None


async def test_frames_with_something_else_in_each_are_kept():
    fears = "What is the biggest {} you have about your career? "
    said = "".join(map(fears.format, ["doubt", "fear"])) + "Sleep on it."
    assert await judged(Repetition(), response=said) is None
    code = "If the element in `a[i]` is smaller, we move the pointer for `a`. "
    assert await judged(Repetition(), response=code + code.replace("a", "b", 1)) is None
    colours = "\n".join(f"{n}. {name}" for n, name in enumerate("red blue red teal pink gold grey lime".split(), 1))
    assert await judged(Repetition(), response=f"Colours:\n{colours}") is None


async def test_a_sentence_that_is_said_a_third_time_is_a_loop_and_one_said_twice_is_none():
    sentence = "The game of basketball is played with a ball and a basket. "
    between = "A point is scored when a player throws it in. ", "The team with more points wins in the end. "
    assert await judged(Repetition(), response=sentence + between[0] + sentence + between[1]) is None
    assert await judged(Repetition(), response=sentence + between[0] + sentence + between[1] + sentence) == (
        "repeated_words"
    )


@pytest.mark.parametrize(
    "text",
    [
        "The 90s were a decade of great horror films. The 90s were also a decade of great horror films.",
        "1. The Ring (2002)\n2. The Ring (2002)\n3. The Silence of the Lambs\n4. Let the Right One In\n5. Psycho",
    ],
)
async def test_what_follows_on_the_same_but_for_a_filler_is_found(text):
    assert await judged(Repetition(), response=text) == "repeated_words"
    assert await judged(Repetition(adjacent=False), response=text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Some that glow are the sea worm, the sea worm, the sea worm, the sea worm, and the glow-worm.",
        "It is good or bad or good or bad or good or bad or good or bad or good or bad or good or bad.",
        "The World Cup of May saw a fine World Cup of players, who won the World Cup of the World Cup of the year.",
    ],
)
async def test_a_few_words_that_come_many_times_in_a_row_are_found_in_a_short_text_too(text):
    assert await judged(Repetition(), response=text) == "repeated_words"


async def test_a_long_paragraph_that_comes_again_nearly_as_it_was_is_found():
    first, *rest = GOOD.replace("of three", "of two").split("\n\n")
    expected = (
        "In the end it is up to you and to those whom you ask, for each of you knows best what you are "
        "ready to give, what you would rather keep, and what you can do without."
    )
    again = expected.replace("In the end", "Finally,")
    assert await judged(Repetition(), response="\n\n".join([expected, first, *rest])) is None
    assert await judged(Repetition(), response="\n\n".join([expected, first, *rest, again])) == "repeated_lines"
    assert await judged(Repetition(paragraphs=None), response="\n\n".join([expected, first, *rest, again])) is None


CHORUS = "Oh, bring me back to the sea\nWhere the wind is wild and free\nBring me back, bring me back\nTo the sea"
VERSES = [
    "I left the town in early May\nThe road was long, the sky was gray\nI would not stay\nAnd yet I did",
    "The years went by like falling snow\nI lost more than I know\nThe tide came in, and it was slow\nTo go",
    "Now I am old and thin of hair\nI sit and stare\nThe wind is knocking at the stair\nIt calls",
]


@pytest.mark.parametrize(
    "text",
    [
        "0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181",
        "1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1",
        "\n".join(f"{a} x {b} = {a * b}" for a in range(1, 11) for b in range(1, 11)),
        "\n".join("Fizz" * (n % 3 == 0) + "Buzz" * (n % 5 == 0) or str(n) for n in range(1, 31)),
        "\n".join(f"{n}. What is the capital of {land}?" for n, land in enumerate(LANDS, 1)),
        "\n\n".join(f"{verse}\n\n{CHORUS}" for verse in VERSES),
        "Who are we? Lions!\nWho are we? Lions!\nWho will win? Lions!\nRun to the left, and right\nRoar all night",
        "The capital of Italy is Rome. The capital of Spain is Madrid. The capital of Peru is Lima. The capital of "
        "France is Paris. The capital of Austria is Vienna. The capital of Japan is Tokyo.",
        "- `a`: a letter\n- `b`: a blank, a dot or not\n- `c`: a digit\n- `b`: a blank, a dot or not\n- `d`: end",
        "Row, row, row your boat. La la la la la la la! Tick tock, tick tock, tick tock. 0 1 0 1 0 1 0 1 0 1 0 1 0 1",
        "| day | meal |\n| --- | --- |\n" + "\n".join(f"| {day} | rice with beans and a cup of tea |" for day in DAYS),
        "\n".join(f"The derivative of x^{n} with respect to x is {n}x^{n - 1}." for n in range(2, 9)),
    ],
)
async def test_sequences_tables_quizzes_and_songs_are_no_loops(text):
    assert await judged(Repetition(), response=text) is None


async def test_a_song_that_has_nothing_but_its_refrain_is_one():
    assert await judged(Repetition(), response="\n\n".join([VERSES[0], *[CHORUS] * 4])) == "repeated_lines"


@pytest.mark.parametrize(
    ("text", "n", "times", "share"),
    [
        ("a b c a b d", 2, 1, 2 / 6),
        ("a b a b a b", 2, 1, 4 / 6),
        ("a b a b a b", 2, 2, 2 / 6),
        ("a a a a", 2, 1, 3 / 4),  # each word counts once, though several windows hold it
        ("1 2 x 1 2 y", 2, 1, 0.0),  # numbers alone are no words
        ("a b c d", 2, 1, 0.0),
        ("a", 2, 1, 0.0),
    ],
)
def test_the_share_is_of_words_that_were_said_before_each_counted_once(text, n, times, share):
    assert Words(text.split()).repeated(n, times=times) == pytest.approx(share)


words = st.lists(st.sampled_from(["a", "bb", "1", "2"]), min_size=1, max_size=25)


@given(words, st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_the_share_is_that_of_a_search_word_by_word(words, n, times):
    grams = [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
    again = [at for at, gram in enumerate(grams) if grams[:at].count(gram) >= times and not all(map(str.isdigit, gram))]
    inside = {at + step for at in again for step in range(n)}
    assert Words(words).repeated(n, times=times) == pytest.approx(len(inside) / len(words))


async def test_a_null_threshold_is_no_bound():
    text = GOOD + "\n" + "The answer is 5.\n" * 20
    step = Repetition(
        lines=None,
        paragraphs=None,
        line_text=None,
        paragraph_text=None,
        duplicate_words={},
        looped_words={},
        adjacent=False,
    )
    assert await judged(step, response=text) is None


async def test_the_made_up_answers_of_the_demonstration_are_no_repetition():
    rng = random.Random(0)
    verdicts = [await judged(Repetition(), response=topic(rng).answer) for _ in range(200)]
    assert verdicts.count(None) > 180
