"""Answers that come in two parts: what a model thinks, and what it says when its thoughts are closed.

An engine holds an answer to its form from its first token on, which leaves no room for thoughts; and only another
request can go on after thoughts that have used up their tokens, or from a given start of the answer. So where a model
may think, it does so first, in a request without the form, and goes on after its thoughts in a second one. Works with
every engine that reads token ids, for it takes nothing but prompts and stops.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from synth.chat import ChatTemplate, Stop
from synth.engines import Answer, Sampling

Ask = Callable[[list[int], Sampling], Awaitable[Answer]]

OPENING = 8  # tokens that tell whether a model begins with thoughts


@dataclass(frozen=True, slots=True)
class Begun:
    """What is given of an answer: its first words, and the thoughts before it. A prefix, even an empty one, closes
    these. Where the model `thinks_first`, and has none yet, it does so before a prefix. What a user would say, a
    `query`, has no thoughts before it."""

    prefix: str | None = None
    thoughts: str | None = None
    thinks_first: bool = True
    is_query: bool = False

    @property
    def is_closed(self) -> bool:
        return self.prefix is not None


def free(sampling: Sampling) -> Sampling:
    """Without a form."""
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
    """What a model thinks before its answer, in up to thinking_tokens, or else max_tokens; None where it does not
    think. It goes on from what is `begun`. Of thinking_tokens, the context's room for the answer is left, if it can be.
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
    said: list[int] = []
    goes_on = True
    if begun is not None:
        said = template.begin_thoughts(prompt, begun)[len(prompt) :]
    elif template.answer(prompt, said)[0] is None:  # the prompt has not begun them: the model may, or may not
        opened = await ask(prompt, replace(thinking, max_tokens=min(OPENING, most)))
        said, goes_on = list(opened.token_ids), opened.finish_reason == "length"
        if template.answer(prompt, said)[0] is None:
            return None
        thinking = replace(thinking, max_tokens=max(1, most - len(said)))
        goes_on = goes_on and len(said) < most
    if goes_on and len(prompt) + len(said) < max_model_len:
        said += (await ask([*prompt, *said], thinking)).token_ids
    return template.answer(prompt, said)[0]


async def until_answer(
    ask: Ask,
    template: ChatTemplate,
    prompt: list[int],
    sampling: Sampling,
    stop: Stop,
    max_model_len: int,
    begun: Begun,
) -> tuple[str | None, list[int]]:
    """What a model thinks before its answer, None where it does not, and the prompt up to where the answer goes on."""
    reasoning = begun.thoughts
    if not begun.is_closed or (reasoning is None and begun.thinks_first):
        reasoning = await thoughts_before(ask, template, prompt, sampling, stop, max_model_len, reasoning)
    return reasoning, template.after_thoughts(prompt, reasoning, *([begun.prefix] if begun.prefix else []))
