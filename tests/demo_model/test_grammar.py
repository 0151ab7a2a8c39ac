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
        "converse_user",
        "converse_user_system",
        "converse_goal",
        "evolve_in_conversation",
        "self_instruct_follow_ups",
    }


def test_judgements_are_the_json_that_the_prompt_asks_for():
    for _, answer in pairs("judge"):
        result = json.loads(answer)
        assert result.keys() == {"score", "reason"}
        assert result["score"] in range(1, 6)


def test_tags_are_labels_that_the_prompt_offers():
    for _, answer in pairs("tag"):
        result = json.loads(answer)
        assert result.keys() == prompts.LABELS.keys()
        assert all(result[name] in labels for name, labels in prompts.LABELS.items())


def test_lists_of_queries_have_as_many_as_asked_for():
    for prompt, answer in pairs("self_instruct_queries"):
        wanted = int(re.search(r"Write (\d+) (?:queries|query)", prompt)[1])
        assert len(json.loads(answer)["queries"]) == wanted


def test_lists_of_tasks_have_as_many_as_asked_for():
    for prompt, answer in pairs("self_instruct_tasks"):
        wanted = re.match(r"Write (\d+|a) tasks?", prompt)[1]
        assert len(json.loads(answer)["tasks"]) == (1 if wanted == "a" else int(wanted))


def test_sums_are_right():
    rng, checked = Random(0), 0
    while checked < 50:
        answer = topic(rng).answer
        if found := re.fullmatch(r"(\d+) ([+\-*]) (\d+) = (-?\d+)\.", answer):
            a, sign, b, result = found.groups()
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] == int(result)
            checked += 1


@pytest.mark.parametrize("name", ["evolve_constraints", "evolve_deepen", "evolve_concretize", "evolve_reasoning"])
def test_evolved_instructions_hold_the_old_one_and_more(name):
    for prompt, answer in pairs(name):
        old = prompt.partition("Instruction:\n")[2].rpartition("\n\n")[0]
        assert answer.startswith(old)
        assert len(answer) > len(old)
