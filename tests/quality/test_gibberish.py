"""Text that says nothing in any language."""

import random
import string

import pytest

from synth.quality.gibberish import Gibberish, compression
from tests.quality.judged import judged
from tests.quality.test_language import PAIRS
from tests.quality.test_repetition import GOOD


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "5",
        "?!",
        "Yes, of course.",
        "ha ha ha",
        ", ".join(map(str, range(200))),
        "$$x^2 + y^2 = r^2$$ and thus $x = \\sqrt{r^2 - y^2}$.",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 10 | 20 |",
        "```\n" + "0 " * 500 + "\n```\nThis prints five hundred zeros.",
        "0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181",
        "\n".join(f"{n:08b}" for n in range(64)),
        "\n".join(" ".join("01"[row == column] for column in range(9)) for row in range(9)),
        "\n".join(f"10^{n} = {10**n}" for n in range(20)),
        "a + b = b + a\na * b = b * a\n(a + b) + c = a + (b + c)\na * (b + c) = a * b + a * c",
        "src/\n├── main.py\n│   └── parts.py\n├── tests/\n│   └── test_main.py\n└── README.md",
        "+------+------+\n| a    | b    |\n+------+------+\n| 1    | 2    |\n+------+------+",
        "Title\n" + "=" * 60 + "\nText follows here.\n" + "-" * 60 + "\nMore text.",
        "The capital of France is " + "_" * 20 + ".",
        "\\[ \\int_0^1 x^2 dx = \\frac{1}{3} \\]\n\\[ \\sum_{i=1}^n i = \\frac{n(n+1)}{2} \\]",
        "5 3 . | . 7 . | . . .\n6 . . | 1 9 5 | . . .\n------+-------+------\n8 . . | . 6 . | . . 3",
        *(text for _, text in PAIRS),
    ],
)
async def test_what_says_something_is_kept(text):
    assert await judged(Gibberish(), response=text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50,
        "Hmm" + "." * 100,
        "_ " * 40,
        "好的" * 200,
        "The cat sat on the mat today. " * 40,
        "%$ #@ &* () ^^ !! ~~ |/ \\| ;; :: ++ == -- <> ?? word one two",
        "The river \ufffd\ufffd flows.",
    ],
)
async def test_what_says_nothing_is_found(text):
    assert await judged(Gibberish(), response=text) == "gibberish"


@pytest.mark.parametrize("key", ["top_character", "compressed", "worded"])
async def test_a_null_switches_a_measure_off(key):
    text = {"top_character": "a" * 50, "compressed": "The cat sat on the mat today. " * 40, "worded": "%$ &* " * 10}[
        key
    ]
    assert await judged(Gibberish(), response=text) == "gibberish"
    assert await judged(Gibberish(**{"top_character": None, key: None}), response=text) is None


def test_prose_is_far_from_the_threshold_of_a_loop():
    noise = "".join(random.Random(0).choices(string.ascii_letters, k=1000))
    assert 0.5 < compression(GOOD) < 0.7
    assert compression(GOOD * 3) > 0.15
    assert compression(noise) > 0.7
    assert compression("The cat sat. " * 40) < 0.1
