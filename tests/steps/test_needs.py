"""What a strategy reads, held against what its source has."""

import pyarrow as pa
import pytest

from synth.errors import ConfigError
from synth.quality.length import Length
from synth.steps.needs import refuse_missing_columns, refuse_unfit_columns
from synth.steps.respond import Respond
from synth.steps.strategy import Step, Strategy
from synth.steps.text_generation import TextGeneration
from tests.error_lines import check_line


def check(columns, *steps, source="seeds.jsonl"):
    named = [Step(f"step{n}", function, getattr(function, "columns", None)) for n, function in enumerate(steps)]
    refuse_missing_columns(Strategy("test", named), columns, source)


def refusal(*arguments, **keys):
    with pytest.raises(ConfigError) as caught:
        check(*arguments, **keys)
    return str(caught.value)


ABOUT = TextGeneration(template="{{ topic }}", output="instruction")


def test_a_column_that_the_source_lacks_is_named_with_the_nearest_one():
    facts = "'topic'", "seeds.jsonl", "did you mean 'topics'?", "'source.columns={topic: topics}'"
    check_line(refusal(["topics", "n"], ABOUT), "strategy.step0", *facts)


def test_where_none_is_near_all_are_named():
    assert "lacks; choose from a, b; rename a column by 'source.columns={topic: a}'" in refusal(["a", "b"], ABOUT)


def test_without_a_source_it_says_how_to_choose_one():
    facts = "'topic'", "source=none", "source=file", "source=hub", "source=documents"
    check_line(refusal([], ABOUT, source="source=none"), "strategy.step0", *facts)


def test_one_of_several_columns_will_do():
    check(["instruction"], Respond())
    check(["messages"], Respond())
    facts = "'instruction' or 'messages'", "seeds.jsonl", "prompt", "'source.columns={instruction: prompt}'"
    check_line(refusal(["prompt"], Respond()), "strategy.step0", *facts)


def test_the_column_to_be_renamed_is_the_one_that_others_call_so():
    assert refusal(["id", "question"], Respond()).endswith("'source.columns={instruction: question}'")
    assert refusal(["a prompt"], Respond()).endswith("""'source.columns={instruction: "a prompt"}'""")


def test_later_steps_read_what_earlier_ones_write():
    check(["topic"], ABOUT, Respond())
    check(["topic"], TextGeneration(template="{{ topic }}", output="essay"), TextGeneration(template="{{ essay }}"))
    assert "'essay'" in refusal(["topic"], ABOUT, TextGeneration(template="{{ essay }}"))


def test_who_comes_after_a_step_that_does_not_tell_its_columns_is_not_judged():
    check([], lambda record, llm: record | {"topic": "bees"}, ABOUT)


def unfit(kinds, *steps, declared=None):
    named = [Step(f"step{n}", function, getattr(function, "columns", None)) for n, function in enumerate(steps)]
    try:
        refuse_unfit_columns(Strategy("test", named, declared), kinds, "seeds.jsonl")
    except ConfigError as error:
        return str(error)
    return None


def test_a_column_that_a_step_can_not_use_in_any_row_is_refused():
    assert unfit({"messages": ["list", "null"]}, Respond()) == (
        "strategy.step0: reads 'instruction' (text) or 'messages' (a list of {role, content}, both texts), but in "
        "seeds.jsonl 'messages' holds lists and null; name another column by 'source.columns={instruction: NAME}'"
    )
    assert "'question' holds numbers" in unfit({"question": ["number"]}, Length(column="question", max=3))


def test_a_column_that_a_step_can_use_in_some_rows_or_for_which_another_one_will_do_is_not():
    assert unfit({"messages": ["list", "conversation"]}, Respond()) is None
    assert unfit({"messages": ["list"], "instruction": ["text"]}, Respond()) is None
    assert unfit({"messages": ["list"]}, TextGeneration(template="{{ messages }}")) is None
    assert unfit({"topic": ["text"], "messages": ["list"], "response": ["number"]}, ABOUT, Respond()) is None


def test_a_declared_column_of_another_type_in_every_row_is_refused():
    result = unfit({"topic": ["text"], "n": ["text"]}, ABOUT, declared={"n": pa.int64()})
    assert result.startswith(
        "strategy.columns.n: is int64, but in seeds.jsonl 'n' holds texts; give the column its type"
    )
    assert unfit({"topic": ["text"], "n": ["text", "number"]}, ABOUT, declared={"n": pa.int64()}) is None
    assert unfit({"topic": ["text"], "n": ["null"]}, ABOUT, declared={"n": pa.int64()}) is None
