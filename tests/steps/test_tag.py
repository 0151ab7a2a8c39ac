"""Tags: labels from the lists of the prompt."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.steps.prompts import LABELS
from synth.steps.tag import Tag
from tests.steps.fakes import FakeEngine, finish

RECORD = {"instruction": "Name a bee.", "response": "Maja"}
GOOD = {"category": "information", "quality": "good", "difficulty": "very easy", "language": "en"}


async def tag(said, record=RECORD, **keys):
    engine = FakeEngine(lambda prompt: said, max_model_len=100_000)
    step = Tag(**keys)
    columns = dict.fromkeys(step.columns, pa.string())
    finished = await finish(step, engine=engine, record=dict(record), columns=columns)
    (row,) = finished.kept + finished.rejected
    return row, engine


async def test_a_record_gets_four_labels():
    row, engine = await tag(json.dumps(GOOD))
    labels = [row[name] for name in ("task_category", "quality", "difficulty", "language")]
    assert labels == ["information", "good", "very easy", "en"]
    allowed = engine.samplings[0].json_schema["properties"]
    assert {name: tuple(one["enum"]) for name, one in allowed.items()} == LABELS


async def test_labels_of_ones_own_are_asked_for_read_and_columns():
    own = {"field": ["Civil law", "tax_law"], "difficulty": None}
    row, engine = await tag('{"field": "civil-LAW", "difficulty": "hard"}', labels=own)
    assert (row["field"], row["difficulty"]) == ("Civil law", "hard")
    assert "task_category" not in row
    assert "field: Civil law, tax_law\ndifficulty: very easy" in engine.prompts[0]
    assert '{"field": "...", "difficulty": "..."}' in engine.prompts[0]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"qualty": None}, r"qualty: give its labels.*did you mean 'quality'"),
        ({"field": ["law"]}, "field: needs at least two labels"),
        ({"field": ["very easy", "Very-easy"]}, "all different and none empty"),
        ({}, "needs at least one name"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels, expected):
    with pytest.raises(ValueError, match=expected):
        Tag(labels=labels)


@pytest.mark.parametrize("difficulty", ["Very Easy", "very_easy", " very-easy\n"])
async def test_labels_are_read_whatever_their_case_and_joints(difficulty):
    row, _ = await tag(f"Sure! {json.dumps(GOOD | {'difficulty': difficulty})}")
    assert row["difficulty"] == "very easy"


@pytest.mark.parametrize("broken", [{"quality": "superb"}, {"quality": None}, {"quality": 5}, {"quality": ["good"]}])
async def test_an_unknown_label_is_a_rejection_that_names_it(broken):
    row, _ = await tag(json.dumps(GOOD | broken))
    assert row["reason"] == "unparsable_tags"
    assert row["detail"].endswith("quality")


async def test_an_unknown_label_may_be_null_and_the_others_stay():
    row, _ = await tag(json.dumps(GOOD | {"quality": "superb"}), on_failure="keep")
    assert (row["quality"], row["task_category"]) == (None, "information")


async def test_tags_that_max_tokens_cut_are_truncated():
    row, _ = await tag(('{"category": "info', "length"))
    assert row["reason"] == "truncated_tags"


@pytest.mark.parametrize(("record", "keys"), [(RECORD | {"response": None}, {}), (RECORD, {"with_response": False})])
async def test_the_response_is_shown_only_where_there_is_one_and_it_is_wanted(record, keys):
    _, engine = await tag(json.dumps(GOOD), record, **keys)
    assert "Response:" not in engine.prompts[0]


async def test_there_must_be_an_instruction():
    row, _ = await tag("", {"response": "Maja"})
    assert row["reason"] == "no_instruction"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["stop", "length"]), st.sampled_from(["reject", "keep"]))
async def test_whatever_the_model_says_a_record_ends_in_a_row_or_a_rejection(said, ended, on_failure):
    row, _ = await tag((said, ended), on_failure=on_failure)
    assert row.get("reason") != "error"
