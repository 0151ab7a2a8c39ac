"""The text that the demonstration model is trained on."""

import json
import re
from pathlib import Path
from random import Random

import pytest

from synth.demo_model.grammar import conversation, prompted, topic
from synth.steps import prompts

PARTS = {"tag_text"}  # of other templates
TEMPLATES = {path.stem for path in Path(prompts.__file__).parent.glob("*.jinja")} - PARTS


def pairs(name, count=60):
    """Prompts made from one template, with their answers."""
    rng = Random(name)
    return [prompted.MAKERS[name](rng, topic) for _ in range(count)]


def test_the_same_seed_draws_the_same_conversations():
    def drawn(seed):
        rng = Random(seed)
        return [conversation(rng) for _ in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_conversations_alternate_and_end_with_an_answer():
    rng = Random(0)
    for _ in range(300):
        roles = [message["role"] for message in conversation(rng).messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)


def test_no_message_is_empty_or_has_space_around_it():
    rng = Random(0)
    for _ in range(300):
        for message in conversation(rng).messages:
            assert message["content"] and message["content"] == message["content"].strip()


def test_every_prompt_of_the_steps_is_practised():
    # Which the model is too small to learn.
    assert set(prompted.MAKERS) == TEMPLATES - {
        "ultrafeedback",
        "gen_select",
        "write_tests",
        "tool_request",
        "tool_calls",
        "tool_result",
        "passages",
        "grounded_question",
        "grounded_answer",
        "grounded_check",
        "grounded_same",
