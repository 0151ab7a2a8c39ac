"""Answers of a form that the engine holds, and the thoughts that come before them."""

import pytest

from synth.chat import Stop
from synth.engines import Answer, Sampling
from synth.records import Usage, derive_seed
from synth.steps.endpoints import Endpoint
from synth.steps.held import OPENING
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from tests.chat import formats
from tests.chat.families import FAMILIES
from tests.chat.formats import chat, tokenizer
from tests.steps.fakes import FakeEngine, FakeTemplate

VERDICT = ("Yes", "No")


class MayThink(FakeTemplate):
    def thinks(self, prompt):
        return Stop((3,))


class HoldingEngine(FakeEngine):
    holds = frozenset({"choice"})


class SilentEngine:
    """A user's own, of before engines held anything."""

    max_model_len = 1000

    def __init__(self, reply):
        self.generate = FakeEngine(reply).generate


def handle(engine, template=None, ledger=None):
    return LLM({"main": Endpoint(engine, template or FakeTemplate(), "fake")}, ledger or Ledger(), 7, "17", "judge")


async def test_a_form_that_the_engine_does_not_hold_is_not_asked_for():
    engine = HoldingEngine()
    llm = handle(engine)
    assert llm.holds == {"choice"}
    await llm.chat("why?", json_schema={"type": "object"})
    await llm.chat("why?", Sampling(regex="[a-z]+"))
    assert [sampling.form for sampling in engine.samplings] == [None, None]


async def test_an_engine_that_says_nothing_of_forms_holds_none():
    engine = SilentEngine(lambda prompt: "Yes, it is.")
    llm = handle(engine)
    assert llm.holds == frozenset()
    assert (await llm.chat("why?", choice=VERDICT)).text == "Yes, it is."


async def test_a_calls_own_form_stands_in_place_of_the_samplings():
    engine = HoldingEngine(lambda prompt: "Yes")
    await handle(engine).chat("why?", Sampling(regex="[a-z]+"), choice=VERDICT)
    assert engine.samplings[-1].choice == VERDICT


def test_an_answer_has_one_form():
    with pytest.raises(ValueError, match="choice: can't be combined with json_schema"):
        Sampling(json_schema={"type": "object"}, choice=VERDICT)


async def test_a_model_that_does_not_think_is_held_from_the_first_word_and_what_it_began_is_dropped():
    engine, ledger = HoldingEngine(lambda prompt: "Yes"), Ledger()
    answer = await handle(engine, MayThink(), ledger).chat("why?", max_tokens=50, choice=VERDICT)
    assert (answer.text, answer.reasoning) == ("Yes", None)
    assert [(sampling.form, sampling.max_tokens) for sampling in engine.samplings] == [(None, OPENING), ("choice", 50)]
    assert engine.prompts == ["<user>why?<assistant>"] * 2


class Thinker:
    """A fake engine that holds choices: says its thoughts token by token, and where it is held, the first choice."""

    holds = frozenset({"choice"})

    def __init__(self, template, thoughts, ends=True, max_model_len=10_000):
        self.max_model_len = max_model_len
        self.tokenizer = tokenizer(template)
        self.thoughts = self.tokenizer.encode(thoughts, add_special_tokens=False)
        self.ends = ends
        self.asked, self.answers = [], []

    async def generate(self, prompt, sampling):
        self.asked.append((self.tokenizer.decode(prompt), sampling))
        if sampling.choice:
            said = self.tokenizer.encode(sampling.choice[0], add_special_tokens=False)
            return Answer(said, "stop", len(prompt))
        rest = self.thoughts[sum(len(answer.token_ids) for answer in self.answers) :]
        end = next((n for n, id in enumerate(rest) if id in sampling.stop_token_ids), len(rest))
        cut = end > sampling.max_tokens or (end == len(rest) and not self.ends)
        answer = Answer(rest[: min(end, sampling.max_tokens)], "length" if cut else "stop", len(prompt))
        self.answers.append(answer)
        return answer


LONG = "Let me see what there is to say of it, and of all else."
THINKING = {
    "Qwen3": (formats.QWEN3, f"<think>\n{LONG}\n</think>\n\nPerhaps.", f"<think>\n{LONG}\n</think>\n\n"),
    "Qwen3 thinking": (FAMILIES["Qwen3 thinking"].template, f"{LONG}\n</think>\n\nPerhaps.", f"{LONG}\n</think>\n\n"),
    "DeepSeek R1": (formats.DEEPSEEK, f"{LONG}\n</think>\n\nPerhaps.", f"{LONG}\n</think>\n\n"),
    "Seed OSS": (FAMILIES["Seed OSS"].template, f"<seed:think>{LONG}</seed:think>Perhaps.",
                 f"<seed:think>{LONG}</seed:think>"),
    "gpt-oss": (
        formats.HARMONY,
        f"<|channel|>analysis<|message|>{LONG}<|end|><|start|>assistant<|channel|>final<|message|>Perhaps.",
        f"<|channel|>analysis<|message|>{LONG}<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "Kimi K3": (
        FAMILIES["Kimi K3"].template,
        f"{LONG}<|close|>think<|sep|><|open|>response<|sep|>Perhaps.<|close|>response<|sep|>",
        f"{LONG}<|close|>think<|sep|><|open|>response<|sep|>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", THINKING)
async def test_a_thinking_model_thinks_first_and_is_held_after_that(family):
    template, words, before_answer = THINKING[family]
    engine, read, ledger = Thinker(template, words), chat(template), Ledger()
    answer = await handle(engine, read, ledger).chat("why?", max_tokens=99, choice=VERDICT)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Yes", LONG, "stop")
    prompt = engine.tokenizer.decode(read.encode([{"role": "user", "content": "why?"}]))
    assert engine.asked[-1][0] == prompt + before_answer
    seeds = [sampling.seed for _, sampling in engine.asked]
    assert seeds[0] == derive_seed(7, "17", "judge", 0) and len(set(seeds)) == len(seeds)
    free = sum(len(answer.token_ids) for answer in engine.answers)
    assert ledger.usage.completion_tokens == free + len(engine.tokenizer.encode("Yes"))
    assert ledger.spent["judge"].calls == len(engine.asked)


@pytest.mark.parametrize("family", THINKING)
async def test_thoughts_that_max_tokens_cuts_are_closed_and_the_answer_is_held_all_the_same(family):
    template, words, before_answer = THINKING[family]
    engine, read = Thinker(template, words), chat(template)
    answer = await handle(engine, read).chat("why?", max_tokens=9, choice=VERDICT)
    assert (answer.text, answer.finish_reason) == ("Yes", "stop")
    assert answer.reasoning and LONG.startswith(answer.reasoning) and answer.reasoning != LONG
    assert engine.asked[-1][0].endswith(before_answer.replace(LONG, answer.reasoning))


async def test_thoughts_that_fill_the_models_context_leave_no_answer():
    template, words, _ = THINKING["Qwen3 thinking"]
    read = chat(template)
    room = len(read.encode([{"role": "user", "content": "why?"}])) + 5
    answer = await handle(Thinker(template, words, max_model_len=room), read).chat("why?", choice=VERDICT)
    assert (answer.text, answer.finish_reason) == ("", "length")


UNTHINKING = {
    "Qwen3": (formats.QWEN3, {"enable_thinking": False}),
    "DeepSeek V3.1": (FAMILIES["DeepSeek V3.1"].template, {}),
}


@pytest.mark.parametrize("family", UNTHINKING)
async def test_a_prompt_that_leaves_no_thoughts_is_held_at_once(family):
    template, kwargs = UNTHINKING[family]
    read, engine = chat(template, template_kwargs=kwargs), Thinker(template, LONG)
    answer = await handle(engine, read).chat("why?", choice=VERDICT)
    assert (answer.text, answer.reasoning) == ("Yes", None)
    prompt = read.encode([{"role": "user", "content": "why?"}])
    assert [prompt for prompt, _ in engine.asked] == [engine.tokenizer.decode(prompt)]


async def test_a_model_that_answers_at_once_in_channels_is_held_in_the_answers():
    read, engine = chat(formats.HARMONY), Thinker(formats.HARMONY, "<|channel|>final<|message|>Perhaps.")
    answer = await handle(engine, read).chat("why?", choice=VERDICT)
    assert (answer.text, answer.reasoning) == ("Yes", None)
    assert engine.asked[-1][0].endswith("<|start|>assistant<|channel|>final<|message|>")


async def test_a_held_answer_that_spells_thoughts_has_none():
    engine = HoldingEngine(lambda prompt: "<think>")
    answer = await handle(engine).query((), choice=("<think>",))
    assert (answer.text, answer.reasoning) == ("<think>", None)


async def test_thoughts_that_spell_their_own_end_end_nothing():
    read = chat(formats.QWEN3)
    prompt = read.encode([{"role": "user", "content": "why?"}])
    ids = read.after_thoughts(prompt, "Hm </think> hm")[len(prompt) :]
    assert ids.count(tokenizer(formats.QWEN3).convert_tokens_to_ids("</think>")) == 1


async def test_no_usage_is_lost_where_the_engine_holds_a_query():
    engine, ledger = HoldingEngine(lambda prompt: "Yes"), Ledger()
    await handle(engine, ledger=ledger).query((), choice=VERDICT)
    assert (len(engine.prompts), ledger.usage) == (1, Usage(len("<user>"), 0, 3))
