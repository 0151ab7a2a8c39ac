"""The novelty filter against the rouge_score package, whose decisions it promises to take."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from synth.demo_model.grammar import topic
from synth.quality.novelty import Novelty

texts = st.one_of(
    st.lists(st.sampled_from("a b c the The x-y 7 é K".split()), max_size=14).map(" ".join),
    st.text(max_size=40),
)


def rouge_finds_it_novel(text, pool, threshold=0.7):
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    return all(scorer.score(text, other)["rougeL"].fmeasure <= threshold for other in pool)


@given(texts, st.lists(texts, max_size=8), st.sampled_from([0.7, 0.5, 0.0, 2 / 3, 0.9, 1.0]))
@settings(max_examples=150, deadline=None)
@example("a b c d e f g x y z", ["a b c d e f g p q r"], 0.7)
def test_any_text_against_any_pool_is_decided_as_by_rouge_score(text, pool, threshold):
    assert Novelty(threshold, pool).is_novel(text) == rouge_finds_it_novel(text, pool, threshold)


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=90), st.lists(st.sampled_from("abcde"), max_size=90))
@settings(max_examples=200, deadline=None)
def test_long_texts_of_few_words_are_decided_as_by_rouge_score(one, other):
    pool = [" ".join(other)]
    assert Novelty(0.7, pool).is_novel(" ".join(one)) == rouge_finds_it_novel(" ".join(one), pool)


def test_instructions_and_their_variants_are_decided_as_by_rouge_score():
    rng = random.Random(0)
    pool = instructions(rng, 150)
    novelty = Novelty(0.7, pool)
    decisions = []
    for text in instructions(rng, 40) + [varied(rng, rng.choice(pool)) for _ in range(60)]:
        decisions.append(novelty.is_novel(text))
        assert decisions[-1] == rouge_finds_it_novel(text, pool), text
    assert 10 < sum(decisions) < 90


@pytest.mark.parametrize(("length", "common"), [(10, 7), (20, 14), (30, 21), (40, 28)])
def test_a_text_at_the_threshold_is_decided_by_the_last_bit_as_rouge_score_has_it(length, common):
    same = [f"w{n}" for n in range(common)]
    text = " ".join(same + [f"x{n}" for n in range(length - common)])
    pool = [" ".join(same + [f"y{n}" for n in range(length - common)])]
    assert Novelty(0.7, pool).is_novel(text) == rouge_finds_it_novel(text, pool)


def test_a_text_is_not_novel_beside_itself_and_is_novel_in_an_empty_pool():
    novelty = Novelty()
    assert novelty.is_novel("Name three rivers of Africa.")
    novelty.add("Name three rivers of Africa.")
    assert not novelty.is_novel("name THREE rivers of africa")
    assert novelty.is_novel("Explain how a bill becomes a law.")
    assert len(novelty) == 1


def test_the_order_of_words_counts():
    novelty = Novelty(0.7, ["one two three four five six"])
    assert novelty.is_novel("six five four three two one")


def test_a_text_without_words_is_novel_as_rouge_score_has_it():
    assert Novelty(0.7, ["你好", "", "..."]).is_novel("你好")


def instructions(rng, count):
    return [topic(rng).question for _ in range(count)]


def varied(rng, text):
    """The text with some of its words replaced, moved or dropped."""
    words = text.split()
    for _ in range(rng.randint(0, 1 + len(words) // 3)):
        place = rng.randrange(len(words))
        words[place : place + 1] = rng.choice([["other"], [], [words[place], "very"], words[place:][:1] * 2])
        words = words or ["nothing"]
    return " ".join(words)
