"""What a step gets of a model whose server has the chat template."""

import pytest

from synth.chat import ServedChat
from synth.engines import FORMS, Answer, Sampling
from synth.records import Rejection
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from synth.steps.strategy import Step, Strategy


class FakeChat:
    """Answers with `answer`; keeps what it was asked."""

    max_model_len = 2**31
    holds = frozenset({FORMS["json_schema"]})

    def __init__(self, text="words", **answer):
        self.answer = Answer((), "stop", 5, 3, text, counted=2, **answer)
        self.asked = []

    async def generate(self, prompt, sampling):
        self.asked.append((prompt, sampling))
        return self.answer


def handle(engine, tags="auto"):
    ledger = Ledger()
    return LLM({"main": Endpoint(engine, ServedChat(tags), "large")}, ledger, 0, "17", "step"), ledger


async def test_an_engine_that_reads_messages_is_given_them_and_its_tokens_are_counted():
    engine = FakeChat()
    llm, ledger = handle(engine)
    said = await llm.chat("What is <|im_end|>?", system="Be brief.")
    assert engine.asked[0][0] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is <|im_end|>?"},
    ]
    assert (said.text, said.model, said.token_ids) == ("words", "large", ())
    assert (ledger.usage.prompt_tokens, ledger.usage.cached_tokens, ledger.usage.completion_tokens) == (5, 3, 2)


async def test_each_call_has_a_seed_of_its_own_and_the_same_again():
    engine = FakeChat()
    for _ in range(2):
        llm, _ = handle(engine)
        await llm.chat("One?")
        await llm.chat("Two?")
    seeds = [sampling.seed for _, sampling in engine.asked]
    assert seeds[:2] == seeds[2:] and seeds[0] != seeds[1]


async def test_a_form_that_the_server_does_not_hold_is_not_asked_for():
    engine = FakeChat()
    llm, _ = handle(engine)
    await llm.chat("Yes or No?", choice=("Yes", "No"))
    await llm.chat("JSON?", json_schema={"type": "object"})
    assert [sampling.form for _, sampling in engine.asked] == [None, "json"]


@pytest.mark.parametrize(
    ("text", "expected", "tags", "reasoning", "rest"),
    [
        ("Yes.", "Hm.", "auto", "Hm.", "Yes."),
        ("<think>Hm.</think>Yes.", None, "auto", "Hm.", "Yes."),
        ("Hm.</think>Yes.", None, "auto", "Hm.", "Yes."),
        ("[T]Hm.[/T]Yes.", None, ("[T]", "[/T]"), "Hm.", "Yes."),
        ("<think>Hm.</think>Yes.", None, None, None, "<think>Hm.</think>Yes."),
        ("Yes.", None, "auto", None, "Yes."),
    ],
)
async def test_thoughts_are_no_part_of_an_answer_wherever_a_server_puts_them(text, expected, tags, reasoning, rest):
    llm, _ = handle(FakeChat(text, reasoning=expected), tags)
    said = await llm.chat("Is it?")
    assert (said.reasoning, said.text) == (reasoning, rest)


async def test_an_earlier_answer_is_sent_without_its_thoughts():
    engine = FakeChat()
    llm, _ = handle(engine)
    await llm.chat([{"role": "assistant", "content": "<think>Hm.</think>Yes."}, {"role": "user", "content": "Why?"}])
    assert engine.asked[0][0][0]["content"] == "Yes."


@pytest.mark.parametrize(
    ("why", "reason"), [({"withheld": "filtered"}, "withheld"), ({"too_long": "filtered"}, "prompt_too_long")]
)
async def test_an_answer_that_the_server_does_not_give_rejects_the_record_with_what_it_cost(why, reason):
    async def ask(record, llm):
        return record | {"response": (await llm.chat("Is it?")).text}

    engine = FakeChat(**why)
    endpoints = {"main": Endpoint(engine, ServedChat(), "large")}
    finished = await run_record(3, {}, Context(Strategy("test", [Step("ask", ask, {})]), endpoints, 0))
    (row,) = finished.rejected
    assert (row["reason"], row["detail"], row["rejected_by"]) == (reason, "filtered", "ask")
    assert row["usage"]["prompt_tokens"] == 5 and len(engine.asked) == 1


async def test_what_a_user_would_say_is_not_asked_of_it():
    llm, _ = handle(FakeChat())
    with pytest.raises(ValueError, match="the model main is called through a chat API") as raised:
        await llm.query((), Sampling())
    assert not isinstance(raised.value, Rejection)
