"""Questions and answers from passages, and the checks of both."""

import json

import pydantic
import pytest

from synth.configuration.column_types import type_from_text
from synth.steps import grounded_examples
from synth.steps.grounded_checks import Grounded, NeedsPassage
from synth.steps.grounded_qa import KINDS, GroundedAnswer, GroundedQuestions, passages
from synth.steps.verdict import SCHEMA, YesNo
from tests.steps.fakes import FakeEngine, finish

PASSAGE = {"context": "The queen lays two thousand eggs a day.", "title": "Bees", "headings": "Bees > Eggs"}
TWO = PASSAGE | {"related": "A day in June has sixteen hours of light."}
ASKED = PASSAGE | {"question": "How many eggs does a queen lay a day?", "related": None}
ANSWERED = ASKED | {"response": "She lays two thousand eggs."}
YES = json.dumps({"reason": "The number is said.", "verdict": "yes"})
NO = json.dumps({"reason": "The number is another.", "verdict": "no"})


async def run(step, record, *said):
    """Rows that were kept, rows that were rejected, and the engine."""
    turn = iter(said)
    engine = FakeEngine(lambda prompt: next(turn), max_model_len=100_000)
    columns = {name: type_from_text(kind) for name, kind in (step.columns | {"related": "string"}).items()}
    finished = await finish(step, engine=engine, record=dict(record), columns=columns)
    return finished.kept, finished.rejected, engine


def question(text):
    return json.dumps({"question": text})


async def test_each_question_is_of_another_kind_and_a_record_of_its_own():
    said = [question(f"What is the bee number {at} of the hive?") for at in range(3)]
    kept, _, engine = await run(GroundedQuestions(questions=3), PASSAGE, *said)
    assert [row["question"] for row in kept] == [json.loads(one)["question"] for one in said]
    assert len({row["question_kind"] for row in kept}) == 3
    assert all(row["instruction"] == row["question"] for row in kept)
    for prompt, row in zip(engine.prompts, kept, strict=True):
        assert "From: Bees > Eggs\n\nPassage:\nThe queen lays" in prompt
        assert KINDS[row["question_kind"]] in prompt


async def test_kinds_come_again_where_more_questions_are_asked_for_than_there_are():
    said = [question(f"Is {at} a number of bees?") for at in range(4)]
    kept, _, _ = await run(GroundedQuestions(questions=4, kinds=["factual", "reason"]), PASSAGE, *said)
    assert sorted(row["question_kind"] for row in kept) == ["factual", "factual", "reason", "reason"]


async def test_a_question_over_two_passages_needs_a_second_one():
    step = GroundedQuestions(questions=1, kinds=["multi_hop"])
    kept, _, engine = await run(step, TWO, question("How many eggs does a queen lay in an hour of light in June?"))
    assert kept[0]["related"] == TWO["related"]
    assert "First passage:" in engine.prompts[0] and "Second passage:\nA day in June" in engine.prompts[0]
    _, rejected, _ = await run(step, PASSAGE)
    assert [row["reason"] for row in rejected] == ["no_context"]


async def test_questions_about_one_passage_leave_the_second_out():
    kept, _, engine = await run(GroundedQuestions(questions=1, kinds=["factual"]), TWO, question("Who lays the eggs?"))
    assert kept[0]["related"] is None and "June" not in engine.prompts[0]


async def test_a_kind_of_ones_own_says_what_it_asks_for():
    step = GroundedQuestions(questions=1, kinds={"number": "It asks for a number of things."})
    kept, _, engine = await run(step, PASSAGE, question("How many eggs?"))
    assert kept[0]["question_kind"] == "number" and "It asks for a number of things." in engine.prompts[0]


@pytest.mark.parametrize("kinds", [{"nonsense": None}, ["nonsense"], {}])
def test_a_kind_that_says_nothing_is_refused(kinds):
    with pytest.raises(pydantic.ValidationError):
        GroundedQuestions(kinds=kinds)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("{}", "no_question"),
        (("", "length"), "truncated_question"),
        (question("What does the passage say of eggs?"), "mentions_passage"),
        (question("According to the text, how many eggs does she lay?"), "mentions_passage"),
        (question("The queen lays two thousand eggs a day."), "copies_context"),
        (question(grounded_examples.QUESTIONS["factual"]), "copies_prompt"),
        (question("When does the queen of the tide mill lay eggs?"), "copies_prompt"),
        (question("You can count the eggs."), "no_question"),
    ],
)
async def test_what_is_no_question_of_its_own_is_rejected(said, reason):
    kept, rejected, _ = await run(GroundedQuestions(questions=1, kinds=["factual"]), PASSAGE, said)
    assert not kept and [row["reason"] for row in rejected] == [reason]


async def test_the_same_question_counts_once():
    said = [question("How many eggs a day?"), question("how many eggs a day?")]
    kept, rejected, _ = await run(GroundedQuestions(questions=2), PASSAGE, *said)
    assert len(kept) == 1 and [row["reason"] for row in rejected] == ["repeated_question"]


@pytest.mark.parametrize(
    "text", ["How many eggs?", "1. How many eggs?", '```json\n{"question": "How many eggs?"}\n```']
)
async def test_a_question_is_found_in_an_answer_without_the_form(text):
    kept, _, _ = await run(GroundedQuestions(questions=1), PASSAGE, text)
    assert kept[0]["question"] == "How many eggs?"


async def test_an_answer_is_asked_for_with_the_passage_and_its_row_is_the_question_alone():
    kept, _, engine = await run(GroundedAnswer(), ASKED, "She lays two thousand.")
    assert "The queen lays two thousand" in engine.prompts[0]
    assert (kept[0]["instruction"], kept[0]["response"]) == (ASKED["question"], "She lays two thousand.")


async def test_a_row_may_have_the_passage_in_its_instruction():
    kept, _, _ = await run(GroundedAnswer(with_passage=True), ASKED, "Two thousand, by the passage.")
    assert kept[0]["instruction"] == f"{passages(PASSAGE)}\n\n{ASKED['question']}"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "empty_response"),
        (("She lays", "length"), "truncated_response"),
        ("NO ANSWER", "unanswerable"),
        ("**No answer.**", "unanswerable"),
        ("She has a hive, so the answer is not given.", "unanswerable"),
        ("The passage says that she lays many.", "mentions_passage"),
        (grounded_examples.ANSWERS[0].answer, "copies_prompt"),
        ("She lays them at Carne.", "copies_prompt"),
        ("She lays two.\n\nQuestion: How many? If the answer is not said above, write so.", "copies_prompt"),
        ("She lays two.\n\nQuestion: How many?", "copies_prompt"),
    ],
)
async def test_what_is_no_answer_is_rejected(said, reason):
    kept, rejected, _ = await run(GroundedAnswer(), ASKED, said)
    assert not kept and [row["reason"] for row in rejected] == [reason]


async def test_an_answer_that_stands_in_the_passage_is_kept_with_the_judges_reason():
    kept, _, engine = await run(Grounded(), ANSWERED, YES)
    assert kept[0]["grounded_reason"] == "The number is said."
    assert engine.samplings[0].json_schema == SCHEMA
    assert all(text in engine.prompts[0] for text in (ANSWERED["context"], ANSWERED["question"], ANSWERED["response"]))


async def test_one_that_does_not_is_rejected():
    kept, rejected, _ = await run(Grounded(), ANSWERED, NO)
    assert not kept and [row["reason"] for row in rejected] == ["not_grounded"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [((YES, NO, NO), None), ((YES, YES), "one_passage_suffices"), ((YES, NO, YES), "one_passage_suffices")],
)
async def test_a_question_over_two_passages_must_need_both(said, reason):
    kept, rejected, engine = await run(Grounded(), ANSWERED | {"related": TWO["related"]}, *said)
    assert [row["reason"] for row in rejected] == ([reason] if reason else [])
    assert len(kept) == (reason is None) and len(engine.prompts) == len(said)


async def test_a_question_that_is_answered_alike_without_the_passage_is_rejected():
    kept, rejected, engine = await run(NeedsPassage(), ANSWERED, "Two thousand eggs.", YES)
    assert not kept and [row["reason"] for row in rejected] == ["needs_no_passage"]
    assert ANSWERED["context"] not in engine.prompts[0] and "Two thousand eggs." in engine.prompts[1]


async def test_one_that_is_answered_otherwise_is_kept_with_that_answer():
    kept, _, _ = await run(NeedsPassage(), ANSWERED, "I do not know.", NO)
    assert (kept[0]["closed_book"], kept[0]["response"]) == ("I do not know.", ANSWERED["response"])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "unparsable_judgement"),
        ('{"reason": "so", "verdict": "maybe"}', "unparsable_judgement"),
        (('{"reason": "It is said that', "length"), "truncated_judgement"),
        (json.dumps({"reason": grounded_examples.CHECKS[1].reason, "verdict": "yes"}), "unparsable_judgement"),
    ],
)
async def test_a_verdict_that_can_not_be_read_is_none(said, reason):
    kept, rejected, _ = await run(Grounded(), ANSWERED, said)
    assert not kept and [row["reason"] for row in rejected] == [reason]


async def test_a_judge_may_be_another_model():
    assert YesNo(model="judge").call.model == "judge"
    assert {call.model for call in Grounded(judge=YesNo(model="judge")).calls()} == {"judge"}


@pytest.mark.parametrize("step", [GroundedAnswer(), Grounded(), NeedsPassage()])
async def test_a_record_without_a_question_is_rejected(step):
    _, rejected, _ = await run(step, {"context": "Bees."})
    assert [row["reason"] for row in rejected] == ["no_question"]
