"""How a chat template takes tool calls, found by trying it; and how a model is told of tools whose template takes none.

Templates differ in what a call's arguments have to be (an object for most, JSON as a text for some) and in whether
its turn may have a content. What shows a call's name, its arguments and its result as they are is the form; one that
writes JSON into a JSON text, or leaves a call out without a word, is not.

Where no form does, tools stand in the system prompt, calls in the assistant's words and results in the user's, each
between tags, as JSON in which no `<` is left: nothing in a result can end it and go on as something else.

Knows nothing of tokens.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.chat.rendering import ChatTemplateError, Renderer
from synth.tool_calls import as_json, calls_of, plain

Message = dict[str, Any]
Tools = Sequence[Mapping[str, Any]]

_NAME, _KEY, _VALUE, _RESULT = "\udff0", "\udff1", "\udff2", "\udff3"  # lone surrogates, as in probe.py
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "d",
        "parameters": {
            "type": "object",
            "properties": {_KEY: {"type": "string", "description": "d"}},
            "required": [_KEY],
        },
    },
}
_TOLD = """You may call functions. Each is described by a JSON object here:
<tools>
{tools}
</tools>
A call is <tool_call>{{"name": NAME, "arguments": OBJECT}}</tool_call>; its result follows in <tool_response>."""


@dataclass(frozen=True, slots=True)
class ToolForm:
    """`as_objects`: arguments are objects, else JSON. `null_content`: a turn that only calls has null as its content,
    else an empty text."""

    as_objects: bool
    null_content: bool

    def apply(self, message: Message) -> Message:
        """A message as the template takes it. Raises ValueError where arguments are no JSON."""
        known = {name: value for name, value in message.items() if value is not None or name == "content"}
        calls = known.get("tool_calls")
        if not calls:
            known.pop("tool_calls", None)
            return known
        content = None if self.null_content and not known.get("content") else known.get("content") or ""
        return {**known, "content": content, "tool_calls": [self._call(one) for one in calls]}

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call["function"]
        arguments = function["arguments"]
        if self.as_objects and isinstance(arguments, str):
            arguments = json.loads(arguments)
        return {**call, "function": {**function, "arguments": arguments}}


def tool_form(renderer: Renderer, before: Sequence[Message] = ()) -> ToolForm | None:
    """The first form in which a template shows a call as it is; None where it shows none. `before` are messages that
    it demands."""
    for as_objects in (True, False):
        for null_content in (False, True):
            form = ToolForm(as_objects, null_content)
            if _shows(renderer, form, before):
                return form
    return None


def _shows(renderer: Renderer, form: ToolForm, before: Sequence[Message]) -> bool:
    call = {"name": _NAME, "arguments": as_json({_KEY: _VALUE})}
    turns = [
        *before,
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "call00001", "type": "function", "function": call}]},
        {"role": "tool", "content": _RESULT, "tool_call_id": "call00001", "name": _NAME},
    ]
    try:
        with_tool = renderer.render([form.apply(one) for one in turns], True, {"tools": [_TOOL]})
    except ChatTemplateError:
        return False
    described, _, said = with_tool.rpartition(_KEY)
    return all(mark in described for mark in (_NAME, _KEY)) and _VALUE in said and _RESULT in said and '\\"' not in said


def in_words(messages: Sequence[Message], tools: Tools, *, with_system: bool = True) -> list[Message]:
    """A conversation for a model whose chat template knows of no tools; without a system prompt for one that takes
    none, whose user says what they are."""
    told: list[Message] = []
    for role, same in itertools.groupby(messages, lambda message: message["role"]):
        if role == "tool":
            responses = [f"<tool_response>{_inert(one.get('content') or '')}</tool_response>" for one in same]
            told.append({"role": "user", "content": "\n".join(responses)})
        else:
            told += [_said_in_words(message) for message in same]
    if not tools:
        return told
    text = _TOLD.format(tools="\n".join(_inert(one.get("function", one)) for one in tools))
    if told and told[0]["role"] == ("system" if with_system else "user"):
        order = (told[0]["content"], text) if with_system else (text, told[0]["content"])
        return [{**told[0], "content": "\n\n".join(order)}, *told[1:]]
    return [{"role": "system", "content": text}, *told]


def _said_in_words(message: Message) -> Message:
    calls = calls_of(message)
    if not calls:
        return dict(message)
    written = [f"<tool_call>{_inert(plain(one))}</tool_call>" for one in calls]
    return {"role": message["role"], "content": "\n".join(filter(None, [message.get("content"), *written]))}


def _inert(value: Any) -> str:
    return as_json(value).replace("<", "\\u003c")
