"""Generates the text of a call: an answer with or without reasoning, a user's turn, or the continuation of a text.

Promises: what is `begun` of an answer is part of its text. The text is the answer without its reasoning. A prompt that
leaves no token for the answer rejects the record as `prompt_too_long`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from synth.chat import ChatTemplate, ServedChat, Stop
from synth.engines import GIVEN, Answer, Sampling
from synth.own_time import ours
from synth.records import Rejection
from synth.steps.call import Call
from synth.steps.endpoints import Messages, is_long
from synth.steps.held import Begun, until_answer
from synth.steps.ledger import Completion


async def generate(
    call: Call,
    template: ChatTemplate,
    encode: Callable[[Messages], list[int]],
    messages: Messages,
    stop: Stop,
    begun: Begun,
) -> Completion:
    """The completion of the prompt that `encode` returns for `messages`, up to `stop`. Raises what Call.ask raises, and
    what `encode` raises."""
    with ours():  # encoding ten megabytes takes seconds: other records go on meanwhile
        prompt = await asyncio.to_thread(encode, messages) if is_long(messages) else encode(messages)
    limit = call.endpoint.engine.max_model_len
    if len(prompt) >= limit:
        raise Rejection("prompt_too_long", f"{len(prompt)} tokens, the model takes at most {limit}")
    sampling = replace(
        call.sampling,
        stop=(*call.sampling.stop, *stop.strings),
        stop_token_ids=(*call.sampling.stop_token_ids, *stop.token_ids),
    )
    if begun.is_query:
        return await _continuation(call, template, prompt, sampling, begun)
    if begun.is_closed or sampling.form or sampling.thinking_tokens:
        return await _answer_after_reasoning(call, template, prompt, sampling, stop, begun)
    return await _answer(call, template, prompt, sampling, begun)


async def generate_served(call: Call, template: ServedChat, messages: Messages, prefix: str | None) -> Completion:
    """The completion of a server that applies the chat template. Raises what Call.ask raises."""
    if prefix:
        messages = [*messages, {"role": GIVEN, "content": prefix}]
    answer = await call.ask(messages, call.sampling)
    reasoning, text = template.split(answer.text or "")
    return call.completion(answer, ((prefix or "") + text).strip(), answer.reasoning or reasoning)


async def _continuation(
    call: Call, template: ChatTemplate, prompt: list[int], sampling: Sampling, begun: Begun
) -> Completion:
    """A user's turn, or the continuation of a text: whatever follows the prompt, without reasoning."""

    def read(token_ids: Sequence[int], text: str | None) -> str:
        after = [prompt] if begun.prefix or begun.is_text else []
        return (begun.prefix or "") + (template.decode(token_ids, *after) if text is None else text)

    answer = await call.ask(prompt, sampling, read)
    text = read(answer.token_ids, answer.text)
    return call.completion(answer, text if begun.is_text else text.strip(), None)


async def _answer(
    call: Call, template: ChatTemplate, prompt: list[int], sampling: Sampling, begun: Begun
) -> Completion:
    """Reasoning, if any, and answer in one request."""
    start = [] if begun.thoughts is None else template.begin_thoughts(prompt, begun.thoughts)[len(prompt) :]

    def split(token_ids: Sequence[int], text: str | None) -> tuple[str | None, str]:
        further = {"begun": start} if start else {}
        return template.answer(prompt, token_ids, text, sampling.stop, **further)

    def read(token_ids: Sequence[int], text: str | None) -> str:
        reasoning, answer_text = split(token_ids, text)
        return "" if reasoning is None and template.thinks(prompt) else answer_text

    answer = await call.ask([*prompt, *start], sampling, read)
    reasoning, text = split(answer.token_ids, answer.text)
    return call.completion(replace(answer, token_ids=[*start, *answer.token_ids]), text.strip(), reasoning)


async def _answer_after_reasoning(
    call: Call, template: ChatTemplate, prompt: list[int], sampling: Sampling, stop: Stop, begun: Begun
) -> Completion:
    """Reasoning in a request of its own, then the answer, which has a prefix or a form."""
    limit = call.endpoint.engine.max_model_len
    reasoning, before = await until_answer(call.ask, template, prompt, sampling, stop, limit, begun)
    thought = before[len(prompt) :]
    if len(before) >= limit:
        return call.completion(Answer(thought, "length", len(prompt)), (begun.prefix or "").strip(), reasoning)

    def read(token_ids: Sequence[int], text: str | None) -> str:
        answer_text = template.decode(token_ids, *([before] if begun.prefix else [])) if text is None else text
        if begun.prefix:
            return begun.prefix + answer_text
        return answer_text if sampling.form or reasoning is None else template.unwrapped(answer_text)

    answer = await call.ask(before, sampling, read)
    whole = replace(answer, token_ids=[*thought, *answer.token_ids], logprob=None)
    return call.completion(whole, read(answer.token_ids, answer.text).strip(), reasoning)
