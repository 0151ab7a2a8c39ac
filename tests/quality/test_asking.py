"""Whether a text asks for anything."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.quality.asking import asks
from synth.steps.seed_tasks import SHIPPED, read_seeds


@pytest.mark.parametrize(
    "text",
    [
        "Name a river.",
        "What is a river",
        "My fern is brown. What are the causes",
        "I want a poem about rain.",
        "You are a pirate. Your task: rhyme.",
        "Now, please explain rain.",
        "The sky is grey and the sea is calm; describe both.",
        "Given a list of rivers, the longest of them in Asia.",
        "My code fails:\n\n```python\nprint(x)\n```\nCan you help",
        "Schreibe ein Gedicht.",
        "写一首诗。",
        "",
    ],
)
def test_a_request_asks(text):
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "The Rhine is a river of Europe.",
        "To plan a party takes a list. Let's look at one.",
        "Rivers shape the land. They carry sand to the sea.",
        "Starting a project takes a plan. These steps are a way to begin:\n\n1. Define the goal.\n2. Choose a planner.",
        "**Rain**\n\nThe rain falls on the roof and on the stone.",
        "The maximum is found by a loop:\n\n```python\nprint(max(x))  # what is it?\n```",
    ],
)
def test_an_answer_does_not(text):
    assert not asks(text)


def test_tasks_of_people_ask():
    assert all(asks(seed.instruction) for seed in read_seeds(SHIPPED))


def test_of_labelled_instructions_nearly_all_ask_and_of_their_answers_few_do():
    rows = [json.loads(line) for line in (Path(__file__).parent / "labelled.jsonl").read_text().splitlines()]
    usable = [row for row in rows if row["instruction_usable"]]
    asking = [asks(row["instruction"]) for row in usable]
    assert sum(asking) >= 0.97 * len(asking)
    answering = [asks(row["response"]) for row in usable if row["response_usable"]]
    assert sum(answering) <= 0.4 * len(answering)


@given(st.text())
def test_any_text_is_told(text):
    assert asks(text) in (True, False)
