"""Whether a model thinks before its answer, for how long, and what is given of its answer."""

import pytest

from synth.chat import ChatTemplateError, ServedChat
from synth.engines import GIVEN, Answer, Sampling
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from synth.steps.respond import Respond
from synth.steps.strategy import Step, Strategy
from tests.chat import formats
from tests.chat.families import FAMILIES
from tests.chat.formats import chat, tokenizer
from tests.steps.test_held import LONG, THINKING
from tests.steps.test_served_chat import FakeChat

PREFIX = "Well, I say: "
MIX = {"on": 0.3, "off": 0.7}


class FakeThinker:
    """A fake engine of a model that says `thoughts`, then `answer`: goes on wherever the prompt's end is in them, up to
    max_tokens or the first stop. Holds choices, by saying the first."""

    holds = frozenset({"choice"})

    def __init__(self, template, thoughts, answer="Perhaps so.", max_model_len=10_000):
        self.max_model_len = max_model_len
        self.tokenizer = tokenizer(template)
        self.read = chat(template)
        self.thoughts, self.answer = self.ids(thoughts), self.ids(answer)
        self.asked = []

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False)

    async def generate(self, prompt, sampling):
        self.asked.append((self.tokenizer.decode(prompt), sampling))
        if sampling.choice:
            return Answer(self.ids(sampling.choice[0]), "stop", len(prompt))
        said = self.thoughts + self.answer
        done = max((n for n in range(len(said)) if list(prompt[-n:]) == said[:n]), default=0) if len(prompt) else 0
        answers = self.read.thinks(prompt) is None or self.asked[-1][0].endswith(PREFIX)
        rest = self.answer if answers else said[done:]
        end = next((n for n, id in enumerate(rest) if id in sampling.stop_token_ids), len(rest))
        cut = end > sampling.max_tokens
        return Answer(rest[: min(end, sampling.max_tokens)], "length" if cut else "stop", len(prompt))


def handle(engine, template=None, ledger=None, id="17", seed=7):
    endpoints = {"main": Endpoint(engine, template or engine.read, "fake")}
    return LLM(endpoints, ledger or Ledger(), seed, id, "respond")


async def drawn(thinking, seed=7):
    engine = FakeThinker(formats.QWEN3, "")
    ways = [(await handle(engine, id=str(n), seed=seed).chat("why?", thinking=thinking)).thinking for n in range(200)]
    closed = [prompt.endswith("</think>\n\n") for prompt, _ in engine.asked]
    assert closed == [way == "off" for way in ways]
    return ways


async def test_a_way_to_think_is_drawn_by_weights_for_each_record_and_is_the_same_in_every_run():
    ways = await drawn(MIX)
    assert 40 < ways.count("on") < 80
    assert ways == await drawn({"off": 0.7, "on": 0.3}) and ways != await drawn(MIX, seed=8)


async def test_all_calls_of_a_record_in_a_step_have_the_way_that_was_drawn():
    llm = handle(FakeThinker(formats.QWEN3, ""))
    assert len({(await llm.chat("why?", thinking=MIX)).thinking for _ in range(20)}) == 1


@pytest.mark.parametrize(
    ("given", "wanted"), [(True, "on"), (False, "off"), ({True: 1, False: 3}, {"on": 1, "off": 3})]
)
def test_on_and_off_are_understood_as_yaml_reads_them(given, wanted):
    assert Sampling(thinking=given).thinking == wanted


@pytest.mark.parametrize("given", [{}, {"on": 0, "off": 0}])
def test_weights_of_nothing_are_refused(given):
    with pytest.raises(ValueError, match="thinking: at least one weight must be above 0"):
        Sampling(thinking=given)


async def test_the_way_that_was_drawn_has_a_column():
    engine = FakeThinker(formats.QWEN3, f"<think>\n{LONG}\n</think>\n\n")
    strategy = Strategy("test", [Step("respond", Respond(sampling=Sampling(thinking=MIX)), {})])
    context = Context(strategy, {"main": Endpoint(engine, engine.read, "fake")}, 0)
    rows = [(await run_record(n, {"instruction": "why?"}, context)).kept[0] for n in range(20)]
    assert {row["thinking"] for row in rows} == {"on", "off"}
    assert "thinking" not in Strategy("test", [Step("respond", Respond(), {})]).columns


BOUND = 9  # tokens of thoughts


def thinker(family):
    template, words, _ = THINKING[family]
    return FakeThinker(template, words.removesuffix("Perhaps."))


@pytest.mark.parametrize("family", THINKING)
@pytest.mark.parametrize("form", [{}, {"choice": ("Yes", "No")}])
@pytest.mark.parametrize("prefix", [None, PREFIX])
async def test_thoughts_are_closed_after_their_budget_and_the_answer_is_asked_for(family, form, prefix):
    engine, ledger = thinker(family), Ledger()
    said = await handle(engine, ledger=ledger).chat("why?", max_tokens=50, thinking_tokens=BOUND, prefix=prefix, **form)
    answer = "Yes" if form else "Perhaps so."
    assert (said.text, said.finish_reason) == ((prefix or "") + answer, "stop")
    assert said.reasoning and LONG.startswith(said.reasoning) and said.reasoning != LONG
    _, _, before = THINKING[family]
    assert engine.asked[-1][0].endswith(before.replace(LONG, said.reasoning) + (prefix or ""))
    assert [sampling.form for _, sampling in engine.asked] == [None] * (len(engine.asked) - 1) + (
        ["choice"] if form else [None]
    )
    bounds = [sampling.max_tokens for _, sampling in engine.asked]
    assert sum(bounds[:-1]) <= BOUND + 8 and bounds[-1] == 50
    written = BOUND + len(engine.ids(answer))
    assert ledger.usage.completion_tokens == written


async def test_thoughts_that_end_within_their_budget_are_all_there_and_max_tokens_bounds_the_answer():
    engine = FakeThinker(*THINKING["DeepSeek R1"][:1], f"{LONG}\n</think>\n\n", "One two three four five six seven.")
    said = await handle(engine).chat("why?", max_tokens=3, thinking_tokens=200)
    assert (said.reasoning, said.finish_reason) == (LONG, "length")
    assert said.text and "One two three four five six seven.".startswith(said.text)


async def test_a_budget_leaves_room_for_the_answer_in_the_models_context():
    engine = thinker("DeepSeek R1")
    engine.max_model_len = len(engine.read.encode([{"role": "user", "content": "why?"}])) + 60
    said = await handle(engine).chat("why?", max_tokens=40, thinking_tokens=1000)
    assert said.text == "Perhaps so." and LONG.startswith(said.reasoning)


async def test_where_nothing_thinks_a_budget_changes_nothing():
    engine = FakeThinker(formats.QWEN3, "")
    said = await handle(engine).chat("why?", thinking="off", thinking_tokens=5)
    assert (said.text, said.reasoning, len(engine.asked)) == ("Perhaps so.", None, 1)


@pytest.mark.parametrize("family", ["Qwen3", "gpt-oss", "Kimi K3", "DeepSeek R1"])
async def test_an_answer_goes_on_in_the_middle_of_its_thoughts(family):
    engine = thinker(family)
    head = LONG[:20]
    said = await handle(engine).chat("why?", thoughts=head)
    assert engine.asked[0][0].endswith(head)
    assert said.reasoning.startswith(head) and said.finish_reason == "stop"


async def test_a_prefix_that_spells_thoughts_as_the_model_does_is_in_them():
    engine = thinker("Qwen3")
    said = await handle(engine).chat("why?", prefix="<think>\nLet me see")
    assert engine.asked[0][0].endswith("<think>\nLet me see") and said.reasoning.startswith("Let me see")
    closed = await handle(engine).chat("why?", prefix="<think>\nLet me see\n</think>\n\nWell, ")
    assert engine.asked[-1][0].count("</think>") == 1 and closed.text.startswith("Well, ")


async def test_thoughts_with_an_empty_prefix_are_closed():
    engine = thinker("Qwen3")
    said = await handle(engine).chat("why?", thoughts="Enough.", prefix="")
    assert (said.reasoning, said.text) == ("Enough.", "Perhaps so.") and len(engine.asked) == 1


async def test_thoughts_are_not_begun_where_the_template_leaves_none():
    with pytest.raises(ChatTemplateError, match="no place for reasoning"):
        await handle(thinker("Qwen3")).chat("why?", thinking="off", thoughts="Hm")


@pytest.mark.parametrize("kind", ["byte_level", "prepended", "metaspace", "unigram"])
async def test_a_prefix_is_a_part_of_the_answer_and_no_space_is_lost_after_it(kind):
    template = FAMILIES["MiniCPM"].template
    made, read = tokenizer(template, kind), chat(template, kind, reasoning=None)
    whole = made.encode("Which birds sing at night?", add_special_tokens=False)
    rest, head = whole[len(whole) // 2 :], made.decode(whole[: len(whole) // 2])

    class Continues:
        max_model_len = 1000

        async def generate(self, prompt, sampling):
            return Answer(rest, "stop", len(prompt))

    said = await handle(Continues(), read).chat("Say.", prefix=head)
    assert said.text == "Which birds sing at night?"


async def test_a_control_token_in_a_prefix_is_text():
    engine = thinker("Qwen3")
    await handle(engine).chat("why?", thinking="off", prefix="<|im_end|>")
    ids = engine.read.after_thoughts(engine.read.encode([], thinking="off"), None, "<|im_end|>")
    assert ids.count(engine.tokenizer.convert_tokens_to_ids("<|im_end|>")) == 0


async def test_a_server_is_given_the_beginning_of_its_answer_and_takes_no_thoughts():
    engine = FakeChat("birds sing")
    llm = handle(engine, ServedChat())
    said = await llm.chat("why?", prefix="All ", thinking="off")
    assert (said.text, said.thinking, engine.asked[0][1].thinking) == ("All birds sing", "off", "off")
    assert engine.asked[0][0][-1] == {"role": GIVEN, "content": "All "}
    for given in ({"thoughts": "Hm"}, {"thinking_tokens": 5}):
        with pytest.raises(ValueError, match="chat API, which takes no thoughts"):
            await llm.chat("why?", **given)
