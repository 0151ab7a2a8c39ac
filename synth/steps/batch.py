"""Answers a request of a batch file (synth/batch/): with its own sampling, as often as it asks, and with its tools.

The answer is kept in the form of OpenAI's API, as JSON in the column `result`; an error is, too.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import field, replace
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.batch.body import sampling_fields
from synth.batch.refused import STATUS, error_of
from synth.engines import Sampling
from synth.messages import Message, first_turn
from synth.records import Needs, Record, Rejection, Usage
from synth.steps.json_answer import json_object
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.tool_calls import call, specifications
from synth.tools.calls_in_text import Call, calls_in
from synth.tools.forms import KEY, calls_form
from synth.tools.specification import Tool, tools_of

MOST_CALLS = 16  # of an answer that has to call tools
_CODES = {"prompt_too_long": "context_length_exceeded", "withheld": "content_filter"}  # by reason of a rejection


def _default() -> Sampling:
    return Sampling(temperature=1.0, max_tokens=16384, repetition_detection=None)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AnswerRequest:
    """Answers the request of a record of `source=batch`. `sampling` is for what a request does not set; max_tokens
    beyond the model's context mean up to its end.

    Adds `custom_id`; `line`, the number of its line; and `result`, JSON: {object, choices, usage}, or of a rejected
    record OpenAI's error object. A conversation has the first of several answers.

    Rejections are OpenAI's error codes (synth/batch/refused.py).
    """

    sampling: Sampling = field(default_factory=_default)

    columns: ClassVar[dict[str, str]] = {
        "custom_id": "string",
        "line": "int64",
        "result": "string",
        "tools": "string",
    }
    rejections: ClassVar[tuple[str, ...]] = tuple(STATUS)

    def needs(self) -> list[Needs]:
        return [("request",)]

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        try:
            return await self._answered(record, llm)
        except Rejection as why:
            code = _CODES.get(why.reason, why.reason)
            error = why.record or error_of(code, why.detail or code)
            raise Rejection(code, why.detail, {"result": _json(error)}) from None

    async def _answered(self, record: Record, llm: LLM) -> Record:
        if error := record.get("refused"):
            raise Rejection(error["code"], error["message"], error)
        request = record["request"]
        tools = _offered(record["tools"]) if record.get("tools") else []
        choice = request.get("tool_choice", "auto")
        sampling = replace(self.sampling, **sampling_fields(request))
        if choice != "auto":
            one_only = choice.startswith("function:") or request.get("parallel_tool_calls") is False
            sampling = replace(sampling, json_schema=_form(tools, choice, 1 if one_only else MOST_CALLS))
        if sampling.form and sampling.form not in llm.holds:
            key = "response_format" if choice == "auto" else "tool_choice"
            why = f"{key}: the engine of this run has no structured output"
            raise Rejection("unsupported_parameter", why, error_of("unsupported_parameter", why, key))
        completions = await self._completions(record, request, tools, sampling, llm)
        if "prompt" in record:
            return _continued(record, completions, llm)
        choices = []
        for index, one in enumerate(completions):
            calls = _calls(one, tools, choice, request.get("parallel_tool_calls", True))
            choices.append(_choice(index, one, *calls, llm))
        first = choices[0]["message"]
        messages = [*record["messages"], _turn(completions[0], first)]
        result = {"object": "chat.completion", "choices": choices, "usage": _usage(llm.usage, len(choices))}
        columns = {name: text for name, text in first_turn(messages).items() if name != "system_prompt"}
        end = {"finish_reason": completions[0].finish_reason}
        return record | columns | end | {"messages": messages, "result": _json(result)}

    async def _completions(
        self, record: Record, request: Record, tools: Sequence[Tool], sampling: Sampling, llm: LLM
    ) -> list[Completion]:
        """Raises Rejection."""
        shown = [tool.specification for tool in tools]

        async def ask(index: int) -> Completion | Rejection:
            # Seeds of further answers follow the first one's, as in vLLM.
            seed = None if sampling.seed is None else sampling.seed + index
            seeded = replace(sampling, seed=seed)
            try:
                if "prompt" in record:
                    return await llm.complete(record["prompt"], seeded)
                return await llm.chat(record["messages"], seeded, tools=shown)
            except Rejection as why:
                return why
            except ValueError as error:  # of the chat template, or of an engine that refuses the request
                return Rejection("invalid_request", str(error))

        count = request.get("n", 1)
        if count == 1:
            found = [await ask(0)]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(index)) for index in range(count)]
            found = [task.result() for task in tasks]
        for outcome in found:
            if isinstance(outcome, Rejection):
                raise outcome
        return [outcome for outcome in found if not isinstance(outcome, Rejection)]


@lru_cache(256)  # the requests of a file have few different ones, and a schema takes a millisecond to check
def _offered(tools: str) -> list[Tool]:
    return tools_of(specifications(tools), "tools")


def _continued(record: Record, completions: Sequence[Completion], llm: LLM) -> Record:
    """The record of a text completion."""
    choices = [
        {"index": index, "text": one.text, "finish_reason": "length" if _is_cut(one) else "stop", "logprobs": None}
        for index, one in enumerate(completions)
    ]
    result = {"object": "text_completion", "choices": choices, "usage": _usage(llm.usage, len(choices))}
    first = completions[0]
    columns = {"instruction": record["prompt"], "response": first.text, "finish_reason": first.finish_reason}
    return record | columns | {"result": _json(result)}


def _form(tools: Sequence[Tool], choice: str, most: int) -> dict[str, Any]:
    """The JSON Schema of an answer that has to call a tool: any, or the chosen one."""
    name = choice.removeprefix("function:")
    form = calls_form([tool for tool in tools if choice == "required" or tool.name == name], most)
    form["properties"][KEY]["minItems"] = 1
    return form


def _calls(one: Completion, tools: Sequence[Tool], choice: str, several: bool) -> tuple[str, list[Call]]:
    """The text of an answer beside its calls, and the calls."""
    names = {tool.name for tool in tools}
    if not names:
        return one.text, []
    if choice == "auto":
        text, calls = calls_in(one.text, names)
    else:
        listed = (json_object(one.text, KEY) or {}).get(KEY)
        text, calls = calls_in(_json(listed), names) if isinstance(listed, list) else (one.text, [])
        text = "" if calls else one.text
    return text, calls if several else calls[:1]


def _choice(index: int, one: Completion, text: str, calls: Sequence[Call], llm: LLM) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if one.reasoning is not None:
        message["reasoning_content"] = one.reasoning
    if calls:
        message["tool_calls"] = [call(f"call_{llm.rng.getrandbits(96):024x}", *one) for one in calls]
    end = "tool_calls" if calls and one.finish_reason == "stop" else "length" if _is_cut(one) else "stop"
    return {"index": index, "message": message, "finish_reason": end, "logprobs": None}


def _is_cut(one: Completion) -> bool:
    return one.finish_reason != "stop"


def _turn(one: Completion, message: dict[str, Any]) -> Message:
    """The assistant's turn. A text without calls stays the completion's own object, by which its model is known."""
    calls = message.get("tool_calls")
    text = (message["content"] or "") if calls else one.text
    return {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})


def _usage(usage: Usage, answers: int) -> dict[str, Any]:
    """In OpenAI's format: a prompt counts once for all its answers."""
    prompt, written = usage.prompt_tokens // answers, usage.completion_tokens
    cached = {"cached_tokens": usage.cached_tokens // answers}
    counts = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    return counts | {"prompt_tokens_details": cached}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
