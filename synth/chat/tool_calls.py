"""Finds out how a chat template takes tool calls, by trying it; and describes tools in text if it takes none.

Templates differ in the arguments of a call (an object for most, a JSON string for some) and in whether its turn may
have content. A format is accepted if a call's name, arguments and result are rendered unchanged; one that
double-encodes JSON, or silently drops a call, is not.

If no format is accepted, tools are in the system prompt, calls in the assistant's text and results in the user's, each
between tags, as JSON without any `<`: no result can close its tag and inject text.
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
_DESCRIPTION = """You may call functions. Each is described by a JSON object here:
<tools>
{tools}
</tools>
A call is <tool_call>{{"name": NAME, "arguments": OBJECT}}</tool_call>; its result follows in <tool_response>."""


@dataclass(frozen=True, slots=True)
class ToolForm:
    """`as_objects`: arguments are objects, else JSON strings. `null_content`: a turn with calls only has null as
    content, else an empty string."""

    as_objects: bool
    null_content: bool

    def apply(self, message: Message) -> Message:
        """A message in the template's format. Raises ValueError if arguments are not JSON."""
        known = {name: value for name, value in message.items() if value is not None or name == "content"}
        calls = known.get("tool_calls")
        if not calls:
            known.pop("tool_calls", None)
            return known
        content = None if self.null_content and not known.get("content") else known.get("content") or ""
        return {**known, "content": content, "tool_calls": [self._call(call) for call in calls]}

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call["function"]
        arguments = function["arguments"]
        if self.as_objects and isinstance(arguments, str):
            arguments = json.loads(arguments)
        return {**call, "function": {**function, "arguments": arguments}}


def tool_form(renderer: Renderer, before: Sequence[Message] = ()) -> ToolForm | None:
    """The first format in which a template renders a call unchanged; None if none is. `before` are messages that it
    requires."""
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
        with_tool = renderer.render([form.apply(turn) for turn in turns], True, {"tools": [_TOOL]})
    except ChatTemplateError:
        return False
    head, _, tail = with_tool.rpartition(_KEY)
    return all(mark in head for mark in (_NAME, _KEY)) and _VALUE in tail and _RESULT in tail and '\\"' not in tail


def in_words(messages: Sequence[Message], tools: Tools, *, with_system: bool = True) -> list[Message]:
    """A conversation for a model whose chat template does not support tools; without a system prompt if it does not
    support that either, so that the user describes them."""
    turns: list[Message] = []
    for role, same in itertools.groupby(messages, lambda message: message["role"]):
        if role == "tool":
            responses = [f"<tool_response>{_inert(one.get('content') or '')}</tool_response>" for one in same]
            turns.append({"role": "user", "content": "\n".join(responses)})
        else:
            turns += [_in_words(message) for message in same]
    if not tools:
        return turns
    text = _DESCRIPTION.format(tools="\n".join(_inert(tool.get("function", tool)) for tool in tools))
    if turns and turns[0]["role"] == ("system" if with_system else "user"):
        order = (turns[0]["content"], text) if with_system else (text, turns[0]["content"])
        return [{**turns[0], "content": "\n\n".join(order)}, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]


def _in_words(message: Message) -> Message:
    calls = calls_of(message)
    if not calls:
        return dict(message)
    written = [f"<tool_call>{_inert(plain(call))}</tool_call>" for call in calls]
    return {"role": message["role"], "content": "\n".join(filter(None, [message.get("content"), *written]))}


def _inert(value: Any) -> str:
    return as_json(value).replace("<", "\\u003c")
