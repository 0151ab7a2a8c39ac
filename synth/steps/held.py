"""Answers of a form that the engine holds: what is asked for, and what a model that thinks says before.

An engine holds an answer to its form from its first token on, which leaves no room for thoughts. So where a model may
think, it does so first, in a request without the form, and goes on after its thoughts in one with it. Works with
every engine that holds a form, for it takes nothing but prompts and stops.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from synth.chat import ChatTemplate, Stop
from synth.engines import Answer, Sampling

Ask = Callable[[list[int], Sampling], Awaitable[Answer]]

OPENING = 8  # tokens that tell whether a model begins with thoughts


def free(sampling: Sampling) -> Sampling:
    """Without a form."""
    return replace(sampling, json_schema=None, choice=None, regex=None)


async def thoughts_before(
    ask: Ask, template: ChatTemplate, prompt: list[int], sampling: Sampling, stop: Stop, max_model_len: int
) -> str | None:
    """What a model thinks before an answer of a form: up to max_tokens, None where it does not think."""
    end = template.thinks(prompt)
    if end is None:
        return None
    end |= stop
    thinking = replace(free(sampling), stop=end.strings, stop_token_ids=end.token_ids)
    said: list[int] = []
    goes_on = True
    if template.answer(prompt, said)[0] is None:  # the prompt has not begun them: the model may, or may not
        opened = await ask(prompt, replace(thinking, max_tokens=OPENING))
        said, goes_on = list(opened.token_ids), opened.finish_reason == "length"
        if template.answer(prompt, said)[0] is None:
            return None
    if goes_on and len(prompt) + len(said) < max_model_len:
        said += (await ask([*prompt, *said], thinking)).token_ids
    return template.answer(prompt, said)[0]
