"""Answers in two requests: first the reasoning, then the answer after it.

Structured output constrains an answer from its first token on, which leaves no room for reasoning. And only a second
request can continue after reasoning that has used up its tokens, or from a given prefix. So a model that may think does
so in a first request without the constraint, and a second one continues after its reasoning. Works with every engine
that reads token ids, since it needs only prompts and stops.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from synth.chat import ChatTemplate, Stop
from synth.engines import Answer, Sampling

Ask = Callable[[list[int], Sampling], Awaitable[Answer]]

OPENING = 8  # tokens after which it is known whether a model begins with reasoning


@dataclass(frozen=True, slots=True)
class Begun:
    """What is given of an answer: its prefix, and the reasoning before it. A prefix, even an empty one, ends the
    reasoning. If the model `thinks_first` and has no reasoning yet, it thinks before the prefix. A user's turn, a
    `query`, has no reasoning before it, nor has the continuation of a `text`, whose blanks are kept."""

    prefix: str | None = None
    thoughts: str | None = None
    thinks_first: bool = True
    is_query: bool = False
    is_text: bool = False

    @property
    def is_closed(self) -> bool:
        return self.prefix is not None


def free(sampling: Sampling) -> Sampling:
    """Without structured output."""
    return replace(sampling, json_schema=None, choice=None, regex=None)


async def thoughts_before(
    ask: Ask,
    template: ChatTemplate,
    prompt: list[int],
    sampling: Sampling,
    stop: Stop,
    max_model_len: int,
    begun: str | None = None,
) -> str | None:
    """A model's reasoning before its answer, of up to thinking_tokens or else max_tokens; None if it does not think.
    Continues what is `begun`. From thinking_tokens, the context's room for the answer is reserved, if possible.
    """
    end = template.thinks(prompt)
    if end is None:
        return begun
    end |= stop
    most = sampling.max_tokens
    if sampling.thinking_tokens is not None:
        room = max_model_len - len(prompt) - sampling.max_tokens
        most = min(sampling.thinking_tokens, room) if room > 0 else sampling.thinking_tokens
    thinking = replace(free(sampling), stop=end.strings, stop_token_ids=end.token_ids, max_tokens=most)
    thought_ids: list[int] = []
    goes_on = True
    if begun is not None:
        thought_ids = template.begin_thoughts(prompt, begun)[len(prompt) :]
    elif template.answer(prompt, thought_ids)[0] is None:  # the prompt does not begin the reasoning: the model may
        opened = await ask(prompt, replace(thinking, max_tokens=min(OPENING, most)))
        thought_ids, goes_on = list(opened.token_ids), opened.finish_reason == "length"
        if template.answer(prompt, thought_ids)[0] is None:
            return None
        thinking = replace(thinking, max_tokens=max(1, most - len(thought_ids)))
        goes_on = goes_on and len(thought_ids) < most
    if goes_on and len(prompt) + len(thought_ids) < max_model_len:
        thought_ids += (await ask([*prompt, *thought_ids], thinking)).token_ids
    return template.answer(prompt, thought_ids)[0]


async def until_answer(
    ask: Ask,
    template: ChatTemplate,
    prompt: list[int],
    sampling: Sampling,
    stop: Stop,
    max_model_len: int,
    begun: Begun,
) -> tuple[str | None, list[int]]:
    """A model's reasoning before its answer, None without any, and the prompt up to where the answer continues."""
    reasoning = begun.thoughts
    if not begun.is_closed or (reasoning is None and begun.thinks_first):
        reasoning = await thoughts_before(ask, template, prompt, sampling, stop, max_model_len, reasoning)
    return reasoning, template.after_thoughts(prompt, reasoning, *([begun.prefix] if begun.prefix else []))
