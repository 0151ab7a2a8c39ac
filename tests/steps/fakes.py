"""A fake chat template and a fake engine: prompts in plain sight, answers by a function of them.

The fake template's token ids are code points, so that a test can read what an engine was asked.
"""

from collections.abc import Callable, Sequence
from typing import Any

from synth.chat import Stop
from synth.chat.reasoning import Reasoning
from synth.engines import FORMS, Answer, Sampling
from synth.records import Finished
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.magpie import Magpie
from synth.steps.strategy import Step, Strategy

Reply = str | tuple[str, str]


class FakeTemplate:
    """`<user>…<assistant>…`; a turn of the user's ends with the stop token 1, an answer with 2."""

    query_stop = Stop((1,))
    response_stop = Stop((2,), ("</answer>",))

    def encode(
        self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool = True, tools: Sequence[Any] = ()
    ) -> list[int]:
        text = "".join(f"<tool>{tool['function']['name']}" for tool in tools)
        text += "".join(f"<{message['role']}>{message['content']}" for message in messages)
        return [ord(letter) for letter in text + "<assistant>"]

    def pre_query(self, messages: Sequence[dict[str, str]] = ()) -> list[int]:
        return self.encode(messages)[: -len("<assistant>")] + [ord(letter) for letter in "<user>"]

    def plain(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def with_words(self, prompt: Sequence[int], words: str) -> list[int]:
        return [*prompt, *map(ord, words)]

    def decode(self, token_ids: Sequence[int], after: Sequence[int] = ()) -> str:
        return "".join(map(chr, token_ids))

    def thinks(self, prompt: Any) -> Stop | None:
        return None

    def after_thoughts(self, prompt: Any, thoughts: str | None) -> list[int]:
        return [*prompt, *(() if thoughts is None else map(ord, f"<think>{thoughts}</think>"))]

    def answer(self, prompt: Any, token_ids: Any, text: Any = None, stop: Any = ()) -> tuple[str | None, str]:
        return Reasoning().split(self.decode(token_ids) if text is None else text, self.decode(prompt[-20:]))

    def said(self, answer: str) -> str:
        return answer

    def without_reasoning(self, text: str) -> str:
        return Reasoning().split(text)[1]


class FakeEngine:
    """Answers with `reply(prompt)`, a text or (text, finish_reason); keeps the samplings that it was asked with. Says
    that it holds every form, and answers with `reply` all the same."""

    holds = frozenset(FORMS.values())

    logprob: float | None = None

    def __init__(self, reply: Callable[[str], Reply] = lambda prompt: "words", max_model_len: int = 1000):
        self.reply, self.max_model_len = reply, max_model_len
        self.prompts: list[str] = []
        self.samplings: list[Sampling] = []

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        asked = "".join(map(chr, prompt))
        self.prompts.append(asked)
        self.samplings.append(sampling)
        reply = self.reply(asked)
        text, finish_reason = reply if isinstance(reply, tuple) else (reply, "stop")
        logprob = self.logprob if sampling.logprob else None
        return Answer([ord(letter) for letter in text], finish_reason, len(prompt), logprob=logprob)  # type: ignore[arg-type]


def context(
    *functions: Any, engine: Any = None, columns: Any = None, declared: Any = None, claims: Any = None
) -> Context:
    """Steps `first`, `second`, … of a run with seed 0. `columns` are those that each step says it adds."""
    names = ["first", "second", "third"]
    steps = [Step(name, function, columns) for name, function in zip(names, functions, strict=False)]
    endpoints = {"main": Endpoint(engine or FakeEngine(), FakeTemplate(), "fake")}
    return Context(Strategy("test", steps, declared), endpoints, 0, claims=claims)


async def finish(*functions: Any, number: int = 0, record: Any = None, **given: Any) -> Finished:
    return await run_record(number, record or {}, context(*functions, **given))


async def talk(engine: FakeEngine, number: int = 0, **keys: Any) -> Finished:
    """One record of Magpie's."""
    return await finish(Magpie(**keys), number=number, engine=engine, columns={})
