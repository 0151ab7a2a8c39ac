"""Constraints that a rule can check: each kind knows an answer that keeps to it from one that does not."""

import itertools
import json
import random

import pytest

from synth.verifiers.constraints import Constraint, Constraints, draw_constraints
from synth.verifiers.rules import KINDS

WORDS_60 = " ".join(["word"] * 60)
EXAMPLES = {
    "min_words": ({"n": 50}, [WORDS_60], ["word", ""]),
    "max_words": ({"n": 50}, ["word"], [WORDS_60, "", " \n"]),
    "min_sentences": ({"n": 2}, ["One. Two!", "Eins. Zwei? Drei."], ["One.", "One...", ""]),
    "max_sentences": ({"n": 2}, ["One. Two!", "One."], ["One. Two. Three.", "", "no end"]),
    "paragraphs": ({"n": 2}, ["a\n\nb", "a\nb\n \nc\n"], ["a", "a\n\nb\n\nc", "a\nb"]),
    "bullets": ({"n": 2}, ["- a\n- b", "So:\n* a\n* b\n"], ["- a", "- a\n- b\n- c", "a - b\nc - d"]),
    "numbered": ({"n": 3}, ["1. a\n2. b\n3. c", "1) a\n\n2) b\n\n3) c"], ["1. a\n2. b", "1. a\n1. b\n1. c", "a"]),
    "table": ({"n": 1}, ["|a|b|\n|-|-|\n|1|2|"], ["|a|b|\n|-|-|", "a", "|a|\n|-|\n|1|\n|2|"]),
    "parts": ({"n": 2}, ["Part 1\na\nPart 2\nb", "## Part 1: a\n\n**Part 2**"], ["Part 1\na", "Part 2\nPart 1"]),
    "two_versions": ({}, ["a\n======\nb"], ["a", "a\n======\na", "a\n======\n", "a ====== b ====== c"]),
    "json": ({"words": ["a"]}, ['{"a": 1}', '```json\n{"a": {}, "b": 2}\n```'], ["{}", "[1]", '{"a": 1} there', "a"]),
    "title": ({}, ["# Bees\nThey hum."], ["## Bees\nThey hum.", "Bees\n# hum", "# Bees"]),
    "beginning": ({"text": "In short:"}, ["In short: yes."], ["Yes. In short: no.", "in short: yes"]),
    "ending": ({"text": "Bye."}, ["Well. Bye.\n"], ["Bye. Well.", "Bye"]),
    "postscript": ({}, ["Dear.\n\nP.S. Write soon."], ["Dear.", "P.S.", "The P.S. is missing"]),
    "ends_with_question": ({}, ["So. Why?", 'He said "why?"'], ["Why? So.", ""]),
    "quoted": ({}, ['"A bee."', "“A bee.”"], ['"A" bee', "A bee", '""']),
    "keywords": ({"words": ["bee", "hum"]}, ["A Bee can hum."], ["A bee can fly.", "Bees hum."]),
    "keyword_times": ({"word": "bee", "n": 2}, ["Bee, bee."], ["bee", "beebee bees"]),
    "without_words": ({"words": ["very"]}, ["Every bee."], ["Very small.", ""]),
    "letter_times": ({"letter": "b", "n": 2}, ["Bob"], ["bee"]),
    "lowercase": ({}, ["a bee."], ["A bee.", "12", ""]),
    "uppercase": ({}, ["A BEE."], ["A bEE.", "12", ""]),
    "capital_words": ({"n": 2}, ["A BIG BEE"], ["A BIG bee", "I A B"]),
    "no_commas": ({}, ["A bee"], ["A, b", ""]),
    "no_digits": ({}, ["two bees"], ["2 bees", ""]),
    "no_exclamation": ({}, ["A bee"], ["A bee!", ""]),
    "bold": ({"n": 1}, ["a **big** bee"], ["a *big* bee", "****"]),
    "placeholders": ({"n": 1}, ["Dear [name],"], ["Dear name", "[1]", "[a link](https://a.b)"]),
    "language": (
        {"code": "de"},
        ["Die Bienen fliegen im Sommer von Blume zu Blume und sammeln dabei Honig für den Winter."],
        ["The bees fly from flower to flower in summer and gather honey for the winter.", ""],
    ),
}


def test_there_are_examples_of_every_kind_and_there_are_at_least_twenty():
    assert set(EXAMPLES) == set(KINDS)
    assert len(KINDS) >= 20


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kind_knows_what_keeps_to_it(kind):
    parameters, good, bad = EXAMPLES[kind]
    constraint = Constraint(kind, parameters)
    assert [text for text in good if not await constraint.holds(text)] == []
    assert [text for text in bad if await constraint.holds(text)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_is_worded_with_its_parameters_and_can_be_read_back(kind):
    for seed in range(20):
        rng = random.Random(seed)
        constraint = Constraint(kind, KINDS[kind].draw(rng))
        assert Constraint.from_text(constraint.as_text()) == constraint
        for wording in KINDS[kind].wordings:
            for name in constraint.parameters:
                assert f"{{{name}}}" in wording or (name == "code" and "{language}" in wording)
        assert "{" not in constraint.worded(rng)


def test_what_is_drawn_together_is_about_different_things():
    for seed in range(300):
        found = draw_constraints(random.Random(seed), 3, list(KINDS))
        assert 1 <= len(found) <= 3
        about = list(itertools.chain(*(KINDS[one.kind].about for one in found)))
        assert len(about) == len(set(about))


def test_all_kinds_are_drawn_and_a_seed_draws_the_same():
    found = [draw_constraints(random.Random(seed), 3, list(KINDS)) for seed in range(500)]
    assert {one.kind for some in found for one in some} == set(KINDS)
    assert found == [draw_constraints(random.Random(seed), 3, list(KINDS)) for seed in range(500)]


UNITS = [
    "a",
    "a ",
    " ",
    "\n",
    "*",
    "**a",
    "[",
    "[a",
    "|",
    "| ",
    "-\n",
    "- a\n",
    "1. ",
    ".",
    "```\n",
    "{",
    '"',
    "Part ",
    "=",
    "_",
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "language"])  # which has a bound of its own
async def test_a_long_text_does_not_hold_up_the_loop(kind):
    for unit in UNITS:
        for start in ("", "```", "**", "["):
            await Constraint(kind, EXAMPLES[kind][0]).holds(start + unit * 100_000 + "x")


SHORT = json.dumps({"kind": "max_words", "n": 3})
LOUD = json.dumps({"kind": "uppercase"})


async def verdict(constraints, response):
    return await Constraints().verify({"constraints": constraints, "response": response})


async def test_an_answer_passes_that_keeps_to_all():
    assert await verdict([SHORT, LOUD], "A BEE") == ("passed", 1.0, "")


async def test_one_that_is_not_kept_to_is_named_and_the_score_is_the_share():
    assert await verdict([SHORT, LOUD], "A bee") == ("failed", 0.5, '{"kind": "uppercase"}')


async def test_an_empty_list_asks_for_nothing():
    assert await verdict([], "A bee") == ("passed", 1.0, "")


@pytest.mark.parametrize(
    "constraints",
    [
        None,
        ["loud"],
        ['{"kind": "loud"}'],
        ['{"kind": "max_words"}'],
        ['{"kind": "max_words", "n": "3"}'],
        ["[1]"],
        ["[" * 100_000],
        ['{"kind": "keywords", "words": [1]}'],
        ['{"kind": "language", "code": "xx"}'],
    ],
)
async def test_what_is_no_constraint_is_an_error(constraints):
    assert (await verdict(constraints, "A BEE"))[:2] == ("error", 0.0)
