"""Self-Instruct: queries from a context, tasks from a pool, instances for a task."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from synth.steps.chain import run_record
from synth.steps.seed_tasks import SHIPPED, read_seeds
from synth.steps.self_instruct import Instances, Queries, Tasks
from tests.steps.fakes import FakeEngine, context, finish

COLUMNS = {"task": pa.string(), "input": pa.string(), "is_classification": pa.bool_()}


class FakePool:
    """Has some examples, and accepts what is not about bees."""

    def __init__(self, *examples):
        self.there = examples
        self.offered = []

    async def examples(self):
        return self.there

    async def offer(self, texts):
        self.offered.append(list(texts))
        return ["bees" not in text for text in texts]


async def tasks(reply, pool=None, number=0, **keys):
    """One record of Tasks with its engine's prompts."""
    engine = FakeEngine(lambda prompt: reply, max_model_len=10**5)
    own = replace(context(Tasks(**keys), engine=engine, columns={}), pool=pool or FakePool())
    return await run_record(number, {}, own), engine


def shown(engine):
    """The tasks in a prompt: the earlier answers."""
    return [task for answer in earlier(engine.prompts[0]) for task in answer["tasks"]]


def earlier(prompt):
    """The answers in a few-shot prompt."""
    return [json.loads(turn.partition("<user>")[0]) for turn in prompt.split("<assistant>")[1:-1]]


async def instances(verdict, answer, task="Sort the words."):
    engine = FakeEngine(lambda prompt: verdict if "classification task, one" in prompt else answer, max_model_len=10**5)
    return await finish(Instances(), engine=engine, columns=COLUMNS, record={"instruction": task}), engine


async def queries(reply, record=None, **keys):
    engine = FakeEngine(lambda prompt: reply, max_model_len=10**5)
    given = {"context": "Bees dance."} if record is None else record
    return await finish(Queries(**keys), engine=engine, columns={}, record=given), engine


def reasons(finished):
    return [row["reason"] for row in finished.rejected]


async def test_every_accepted_task_becomes_a_record_and_every_other_one_says_why_not():
    answer = "9. name four tall trees.\n10. Sing.\n11. Write a poem about bees.\n12. Draw a very tall tree."
    finished, _ = await tasks(answer)
    assert [(row["id"], row["instruction"]) for row in finished.kept] == [("0/0", "Name four tall trees.")]
    assert reasons(finished) == ["too_short", "not_novel", "keyword"]
    assert finished.rejected[1]["instruction"] == "Write a poem about bees."


async def test_only_tasks_that_pass_the_filters_are_offered_to_the_pool_at_once():
    pool = FakePool()
    await tasks("1. Name four tall trees.\n2. Sing.\n3. Find three rhymes for moon.", pool)
    assert pool.offered == [["Name four tall trees.", "Find three rhymes for moon."]]


async def test_a_prompt_shows_eight_seeds_while_the_pool_is_empty():
    _, engine = await tasks("1. Name four tall trees.")
    assert len(set(shown(engine))) == 8
    assert set(shown(engine)) <= {seed.instruction.rstrip(" :") for seed in read_seeds(SHIPPED)}


async def test_what_the_prompt_shows_is_no_new_task():
    seed = "Find three rhymes for each of the words in this old song about the sea."
    cut, said = "Find three rhymes for each of the words.", "Write 4 tasks that people might give to an assistant."
    finished, _ = await tasks(json.dumps({"tasks": [cut, said, "Name four tall trees."]}), FakePool(seed))
    assert [row["instruction"] for row in finished.kept] == ["Name four tall trees."]
    assert reasons(finished) == ["copies_prompt", "copies_prompt"]


async def test_an_engine_is_asked_to_hold_as_many_tasks_as_each_earlier_answer_has():
    _, engine = await tasks("1. Name four tall trees.", tasks=4)
    assert [len(answer["tasks"]) for answer in earlier(engine.prompts[0])] == [4, 4]
    held = engine.samplings[0].json_schema["properties"]["tasks"]
    assert (held["minItems"], held["maxItems"]) == (4, 4)


async def test_at_most_two_of_them_are_machine_made():
    pool = FakePool(*(f"Machine task {n}" for n in range(5)))
    _, engine = await tasks("1. Name four tall trees.", pool)
    assert len(shown(engine)) == 8
    assert sum("Machine" in task for task in shown(engine)) == 2


async def test_the_same_record_sees_the_same_tasks_and_another_one_others():
    pool = FakePool(*(f"Machine task {n}" for n in range(50)))
    first, again, other = [shown((await tasks("", pool, number))[1]) for number in (3, 3, 4)]
    assert first == again != other


async def test_a_cut_list_loses_its_last_task_only():
    finished, _ = await tasks(("9. Name four tall trees.\n10. Find three rhymes for mo", "length"))
    assert [row["instruction"] for row in finished.kept] == ["Name four tall trees."]
    assert finished.kept[0]["finish_reason"] == "stop"
    assert not finished.rejected


@pytest.mark.parametrize(("reply", "reason"), [("", "no_tasks"), (("9. Name fo", "length"), "truncated_tasks")])
async def test_an_answer_without_a_task_is_a_rejection(reply, reason):
    assert reasons((await tasks(reply))[0]) == [reason]


async def test_without_a_pool_a_record_says_what_is_missing():
    finished = await finish(Tasks())
    assert "there is no llm.pool" in finished.rejected[0]["detail"]


async def test_machine_made_tasks_can_not_be_more_than_all():
    with pytest.raises(ValueError, match="machine_made: can't be more than in_context"):
        Tasks(machine_made=9)


async def test_a_classification_gets_its_instances_label_first():
    finished, engine = await instances("Yes", "Class label: good\nInput: fun\n\nClass label: bad\nInput: dull")
    assert "for each of its class labels" in engine.prompts[1]
    assert [(row["id"], row["input"], row["response"]) for row in finished.kept] == [
        ("0/0", "fun", "good"), ("0/1", "dull", "bad")
    ]  # fmt: skip
    assert all(row["is_classification"] for row in finished.kept)


async def test_another_task_gets_its_instance_input_first():
    finished, engine = await instances("No.", "Input: b a\nOutput: a b")
    assert "for each of its class labels" not in engine.prompts[1]
    (row,) = finished.kept
    assert (row["task"], row["input"], row["response"], row["is_classification"]) == (
        "Sort the words.",
        "b a",
        "a b",
        False,
    )


async def test_the_user_sends_the_task_with_its_input():
    (row,) = (await instances("No", "Input: b a\nOutput: a b"))[0].kept
    assert row["instruction"] == row["messages"][0]["content"] == "Sort the words.\n\nb a"
    assert row["messages"][1]["content"] == "a b"


async def test_seeds_of_the_same_kind_are_examples_of_what_is_asked_for():
    _, engine = await instances("No", "Input: b a\nOutput: a b")
    shown = earlier(engine.prompts[-1])
    assert len(shown) == 3
    pairs = {pair for seed in read_seeds(SHIPPED) if not seed.is_classification for pair in seed.instances}
    assert {(one["input"], one["output"]) for one in shown} <= pairs
    assert list(engine.samplings[-1].json_schema["properties"]) == ["input", "output"]


async def test_an_instance_of_the_prompt_is_no_instance_of_the_task():
    seed = next(seed for seed in read_seeds(SHIPPED) if seed.instances[0][0] and not seed.is_classification)
    (given, output), *_ = seed.instances
    engine = FakeEngine(lambda prompt: "No", max_model_len=10**5)
    everything = Instances(in_context=40)
    engine.reply = lambda prompt: json.dumps({"input": given, "output": output}) if "right output" in prompt else "No"
    finished = await finish(everything, engine=engine, columns=COLUMNS, record={"instruction": "Sort the words."})
    assert reasons(finished) == ["copies_prompt"]


async def test_the_task_itself_is_no_output():
    assert reasons((await instances("No", "Input: b a\nOutput: sort the words"))[0]) == ["output_is_task"]


async def test_a_task_without_an_input_is_sent_alone():
    (row,) = (await instances("No", "Input: (none)\nOutput: fine"))[0].kept
    assert (row["instruction"], row["input"]) == ("Sort the words.", "")


async def test_an_unfit_instance_is_a_rejection_with_what_it_was():
    finished, _ = await instances("Yes", "Class label: good\nInput: fun\n\nClass label: bad\nInput:\nbad")
    assert [row["response"] for row in finished.kept] == ["good"]
    assert reasons(finished) == ["output_is_input"]
    assert (finished.rejected[0]["input"], finished.rejected[0]["response"]) == ("bad", "bad")


@pytest.mark.parametrize(
    ("verdict", "answer", "reason"),
    [
        ("Perhaps", "", "no_verdict"),
        ("", "", "no_verdict"),
        ("No", "", "no_instances"),
        ("No", "a story", "no_instances"),
        ("Yes", ("Class label: good\nInput: fu", "length"), "truncated_instances"),
        ("No", ("Input: a\nOutput: b b", "length"), "truncated_instances"),
    ],
)
async def test_a_task_without_instances_is_a_rejection(verdict, answer, reason):
    assert reasons((await instances(verdict, answer))[0]) == [reason]


async def test_a_verdict_that_goes_on_and_on_is_a_verdict():
    finished, _ = await instances(("Yes, because there are", "length"), "Class label: good\nInput: fun")
    assert len(finished.kept) == 1


async def test_a_record_without_a_task_is_a_rejection():
    assert reasons(await finish(Instances(), columns=COLUMNS)) == ["no_task"]


async def test_each_query_about_a_context_becomes_a_record():
    finished, engine = await queries("1. Why do bees dance?\n2. Who saw it first?", queries=2)
    assert [(row["id"], row["instruction"]) for row in finished.kept] == [
        ("0/0", "Why do bees dance?"), ("0/1", "Who saw it first?")
    ]  # fmt: skip
    assert "Write 2 queries" in engine.prompts[0] and "Bees dance." in engine.prompts[0]


async def test_the_prompt_tells_application_and_criteria():
    keys = {"application": "a beekeepers' chat", "criteria": ["Be brief.", "Be kind."], "context": "text"}
    _, engine = await queries("1. Why?", {"text": "Bees dance."}, **keys)
    assert "a beekeepers' chat" in engine.prompts[0]
    assert "Criteria: Be brief. Be kind.<assistant>" in engine.prompts[0]


@pytest.mark.parametrize(("lines", "kept"), [(1, 1), (3, 3), (5, 3)])
async def test_fewer_queries_are_kept_and_more_are_left_out(lines, kept):
    finished, _ = await queries("\n".join(f"- Query number {n}?" for n in range(lines)), queries=3)
    assert (len(finished.kept), len(finished.rejected)) == (kept, 0)


async def test_a_repeated_query_is_a_rejection():
    finished, _ = await queries("1. Why do bees dance?\n2. why do bees dance?\n3. Who saw it?")
    assert [row["instruction"] for row in finished.kept] == ["Why do bees dance?", "Who saw it?"]
    assert reasons(finished) == ["repeated_query"]


async def test_a_sentence_of_the_context_is_no_query_about_it():
    text = "Bees dance to tell each other where flowers are. They also hum."
    queried = [
        "Bees dance to tell each other where flowers are.",
        "Why do bees dance to tell each other where flowers are?",
    ]
    finished, _ = await queries(json.dumps({"queries": queried}), {"context": text})
    assert [row["instruction"] for row in finished.kept] == queried[1:]
    assert reasons(finished) == ["copies_context"]


async def test_a_query_of_the_examples_is_no_query_about_the_context():
    finished, _ = await queries("1. What do red pandas eat?\n2. Why do bees dance?")
    assert [row["instruction"] for row in finished.kept] == ["Why do bees dance?"]
    assert reasons(finished) == ["copies_prompt"]


async def test_examples_of_ones_own_are_shown_in_place_of_the_shipped_ones():
    _, engine = await queries("1. Why?", examples=[{"context": "Ants carry leaves.", "queries": ["What for?"]}])
    assert "Ants carry leaves." in engine.prompts[0] and "red panda" not in engine.prompts[0]
    _, engine = await queries("1. Why?", examples=[])
    assert engine.prompts[0].count("<assistant>") == 1


@pytest.mark.parametrize(
    ("reply", "record", "reason"),
    [
        ("", None, "no_queries"),
        (("1. Why do be", "length"), None, "truncated_queries"),
        ("1. Why?", {"text": "Bees dance."}, "no_context"),
        ("1. Why?", {"context": None}, "no_context"),
        ("1. Why?", {"context": "  "}, "no_context"),
        ("1. Why?", {"context": 5}, "no_context"),
    ],
)
async def test_a_record_without_queries_is_a_rejection(reply, record, reason):
    assert reasons((await queries(reply, record))[0]) == [reason]


async def test_text_in_a_context_is_no_template():
    _, engine = await queries("1. Why?", {"context": "{{ 7 * 7 }}{% raw %}"})
    assert "{{ 7 * 7 }}{% raw %}" in engine.prompts[0]


async def test_queries_read_the_column_that_holds_the_context():
    assert Queries(context="text").needs() == [{"text": "text"}]


async def test_whether_a_task_is_a_classification_is_a_held_yes_or_no():
    engine = FakeEngine(lambda prompt: "Yes", max_model_len=10**5)
    await finish(Instances(), engine=engine, record={"instruction": "Sort the words."}, columns=COLUMNS)
    assert [sampling.choice for sampling in engine.samplings] == [("Yes", "No"), None]


async def test_criteria_and_the_application_of_queries_are_templates_over_the_records_columns():
    engine = FakeEngine(lambda prompt: "1. Why is tea hot?", max_model_len=10**5)
    step = Queries(criteria="It is {{ level }}.", application="helper of {{ who }}")
    record = {"context": "Tea is hot.", "level": "hard", "who": "a baker"}
    await finish(step, engine=engine, columns={}, record=record)
    assert "It is hard." in engine.prompts[0] and "helper of a baker" in engine.prompts[0]
    assert step.needs() == [{"context": "text"}, ("level",), ("who",)]


TALK = [{"role": "user", "content": "Name a bee."}, {"role": "assistant", "content": "The carpenter bee."}]


async def test_queries_about_a_conversation_are_its_next_turns():
    said = '{"queries": ["Where does it nest?", "And a wasp?"]}'
    finished, engine = await queries(said, {"messages": TALK}, context="messages", queries=2)
    assert [[turn["content"] for turn in row["messages"]] for row in finished.kept] == [
        ["Name a bee.", "The carpenter bee.", "Where does it nest?"],
        ["Name a bee.", "The carpenter bee.", "And a wasp?"],
    ]
    assert '{"assistant": "The carpenter bee."}' in engine.prompts[0]
    assert all(row["instruction"] == "Name a bee." for row in finished.kept)


async def test_queries_continue_an_instruction_and_its_response():
    given = {"instruction": "Name a bee.", "response": "The carpenter bee.", "system_prompt": "Be brief."}
    finished, _ = await queries('{"queries": ["And a wasp?"]}', given, context="messages", queries=1)
    (row,) = finished.kept
    assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("copy", ["The carpenter bee.", "Name a bee."])
async def test_a_query_that_repeats_the_conversation_is_rejected(copy):
    said = json.dumps({"queries": [copy, "And a wasp?"]})
    finished, _ = await queries(said, {"messages": TALK}, context="messages", queries=2)
    assert reasons(finished) == ["copies_context"] and len(finished.kept) == 1
    assert finished.rejected[0]["messages"][-1]["content"] == copy


async def test_a_conversation_that_waits_for_an_answer_has_no_next_query():
    finished, _ = await queries("", {"messages": TALK[:1]}, context="messages")
    assert reasons(finished) == ["no_context"]
    assert Queries(context="messages").needs() == [{"instruction": "text", "messages": "conversation"}]
