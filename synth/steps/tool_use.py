"""Conversations in which an assistant calls tools: a request, calls, results, and an answer that states them.

The calls of a round are one answer that the engine holds to the schemas of the tools (synth/tools/forms.py), and are
checked against them whether it does or not. A tool with a function is run; what a tool without one returns is made up
by a model. The closing answer is asked as the chat template shows tools and results.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.engines import Sampling
from synth.errors import nearest
from synth.messages import Message, answered, to_answer
from synth.paths import local_path
from synth.records import Record, Rejection
from synth.steps import prompts
from synth.steps.json_answer import json_object
from synth.steps.llm import LLM
from synth.steps.tool_request import Case, Situation, as_line, situation, written_request
from synth.tool_calls import as_json, call, calls_of, plain, specifications
from synth.tools.forms import KEY, calls_form
from synth.tools.function import ToolError, described, located_function, result_of
from synth.tools.library import shipped
from synth.tools.specification import Tool, read_tools
from synth.tools.stated import states

_MOST_CALLS = 5  # of a round
_RESULT = {"type": "object", "properties": {"result": {"type": "string", "minLength": 1}}, "required": ["result"]}
_MARKS = ("<tool_call>", "<tool_response>", f'"{KEY}"')
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _cases() -> dict[Case, float]:
    return {"one": 0.5, "several": 0.15, "none": 0.1, "irrelevant": 0.15, "missing": 0.1}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ToolUse:
    """Draws a case by the weights of `cases` and up to `offered` tools; has a request written that fits both, calls
    made, and an answer given.

    `tools` is a file of specifications (OpenAI functions, an MCP server's list, JSON Schemas); null: those shipped with
    Synth. `names` are those of them to use. `functions` are functions of one's own by the tools' names, each
    {_target_}; one that no file specifies is specified by its signature. A record that has an instruction already is
    taken as it is, with its own `tools` if it has some: nothing is known then of the calls that it needs.

    A round asks for calls until none is needed, `rounds` times at the most. With `verify` the answer has to state what
    each call returned (synth/tools/stated.py). `simulate` false refuses tools without a function.

    Rejections: `no_request`, `no_instruction` (of a record's own messages), `copies_prompt`, `no_calls` (no JSON),
    `unknown_tool`, `unfit_arguments`, `unneeded_call`, `missing_call`, `tool_failed`, `no_result`, `empty_answer`,
    `truncated_answer`, `call_in_answer`, `asks_nothing`, `result_not_stated`.
    """

    tools: Path | None = None
    names: Annotated[list[str], BeforeValidator(as_list)] = field(default_factory=list)
    functions: dict[str, Any] = field(default_factory=dict)
    offered: Annotated[int, Field(ge=1)] = 5
    cases: dict[Case, Weight] = field(default_factory=_cases)
    rounds: Annotated[int, Field(ge=1)] = 3
    simulate: bool = True
    verify: bool = True
    timeout_s: Annotated[float, Field(gt=0)] = 10.0
    request: Sampling = field(default_factory=lambda: Sampling(temperature=0.9, max_tokens=256))
    calling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=512))
    result: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=256))
    answer: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=512))

    columns: ClassVar[dict[str, str]] = {"tools": "string", "tool_case": "string", "tools_executed": "bool"}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_request",
        "no_instruction",
        "copies_prompt",
        "no_calls",
        "unknown_tool",
        "unfit_arguments",
        "unneeded_call",
        "missing_call",
        "tool_failed",
        "no_result",
        "empty_answer",
        "truncated_answer",
        "call_in_answer",
        "asks_nothing",
        "result_not_stated",
    )

    def __post_init__(self) -> None:
        known = self.toolbox
        if not any(self.cases.values()):
            raise ValueError("cases: at least one weight must be above 0")
        if self.cases.get("irrelevant") and len(known) == 1:
            raise ValueError("cases.irrelevant: takes a tool that is not offered, and there is one tool; set it to 0")
        if self.cases.get("missing") and not any(tool.required for tool, _ in known.values()):
            raise ValueError("cases.missing: no tool has an argument that is required; set it to 0")
        silent = [name for name, (_, function) in known.items() if function is None]
        if silent and not self.simulate:
            raise ValueError(f"functions: {silent[0]!r} has no function, and simulate is false")

    @cached_property
    def toolbox(self) -> dict[str, tuple[Tool, Callable[..., Any] | None]]:
        """All tools by their names, each with its function, if any."""
        own = {name: located_function(node, f"functions.{name}") for name, node in self.functions.items()}
        if self.tools is not None:
            found = {tool.name: tool for tool in read_tools(local_path(self.tools))}
            if unknown := next((name for name in own if name not in found), None):
                raise ValueError(f"functions: {self.tools} has no tool {unknown!r}{nearest(unknown, found)}")
            known: dict[str, tuple[Tool, Any]] = {name: (tool, own.get(name)) for name, tool in found.items()}
        elif own:
            known = {name: (described(function, name=name), function) for name, function in own.items()}
        else:
            known = dict(shipped())
        if unknown := next((name for name in self.names if name not in known), None):
            raise ValueError(f"names: there is no tool {unknown!r}{nearest(unknown, known)}")
        return {name: known[name] for name in self.names or known}

    @property
    def outline(self) -> list[str]:
        return [f"request, up to {self.rounds} rounds of calls and results, answer"]

    def calls(self) -> list[Sampling]:
        simulated = any(function is None for _, function in self.toolbox.values())
        rounds = [self.calling, *([self.result] * _MOST_CALLS if simulated else [])] * self.rounds
        return [self.request, *rounds, self.answer]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        tools = [tool for tool, _ in self.toolbox.values()]
        if record.get("instruction") or record.get("messages"):
            given = [Tool(**_parts(one)) for one in specifications(record.get("tools"))]
            found = Situation("given", given or tools)
            turns = to_answer(record)
        else:
            found = situation(tools, self.cases, self.offered, llm.rng)
            request = await written_request(found, tools, self.request, llm)
            turns = [{"role": "user", "content": request}]
            llm.note(request, found.case)
        shown = [tool.specification for tool in found.offered]
        executed: list[bool] = []

        def made() -> Record:
            told = {
                "tools": as_json(shown),
                "tool_case": found.case,
                "tools_executed": bool(executed) and all(executed),
            }
            asked = next((one["content"] for one in turns if one["role"] == "user"), None)
            return record | {"instruction": asked, "messages": turns} | told

        try:
            results = await self._rounds(found, turns, executed, llm)
            answer = await llm.chat(turns, self.answer, tools=shown)
            self._check(found, results, answer.text, answer.finish_reason)
        except Rejection as rejection:
            rejection.record = made() | (rejection.record or {})
            raise
        return answered(made(), turns, answer.text) | {"finish_reason": answer.finish_reason}

    async def _rounds(self, found: Situation, turns: list[Message], executed: list[bool], llm: LLM) -> list[Any]:
        """Adds calls and results to `turns`, and says what was returned. Raises Rejection."""
        results: list[Any] = []
        seen: list[tuple[str, str]] = []
        for _ in range(self.rounds):
            calls = await self._asked(found, turns, llm)
            if not calls:
                break
            self._refuse_unneeded(found, calls, seen)
            numbers = range(len(seen), len(seen) + len(calls))
            ids = [f"call{number:05}" for number in numbers]  # nine letters and digits, as some templates demand
            named = [call(id, tool.name, arguments) for id, (tool, arguments) in zip(ids, calls, strict=True)]
            turns.append({"role": "assistant", "content": "", "tool_calls": named})
            for id, (tool, arguments) in zip(ids, calls, strict=True):
                value = await self._result(tool, arguments, executed, llm)
                seen.append((tool.name, as_json(arguments)))
                results.append(value)
                turns.append({"role": "tool", "content": as_json(value), "tool_call_id": id, "name": tool.name})
            if found.case != "given" and self._enough(found, seen):
                break
        if found.case != "given" and not self._enough(found, seen):
            missed = [one.name for one in found.targets if one.name not in {name for name, _ in seen}]
            raise Rejection("missing_call", ", ".join(missed) or f"{len(seen)} calls")
        return results

    def _enough(self, found: Situation, seen: Sequence[tuple[str, str]]) -> bool:
        return len(seen) >= found.least_calls and {one.name for one in found.targets} <= {name for name, _ in seen}

    async def _asked(self, found: Situation, turns: Sequence[Message], llm: LLM) -> list[tuple[Tool, dict[str, Any]]]:
        """The calls of a round. Raises Rejection for what the tools do not take."""
        functions, lines = [as_line(one) for one in found.offered], [as_json(_plain(one)) for one in turns]
        prompt = prompts.render("tool_calls", functions=functions, turns=lines)
        said = await llm.chat(prompt, self.calling, json_schema=calls_form(found.offered, _MOST_CALLS))
        listed = (json_object(said.text, KEY) or {}).get(KEY)
        if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
            raise Rejection("no_calls", said.text)
        by_name = {one.name: one for one in found.offered}
        calls = []
        for one in listed:
            name, arguments = one.get("name"), one.get("arguments")
            if name not in by_name:
                raise Rejection("unknown_tool", f"{name!r}{nearest(str(name), by_name)}")
            if problem := by_name[name].problem(arguments):
                raise Rejection("unfit_arguments", f"{name}: {problem}")
            calls.append((by_name[name], dict(arguments)))
        return calls

    def _refuse_unneeded(self, found: Situation, calls: Sequence[tuple[Tool, Any]], seen: Sequence[Any]) -> None:
        """Raises Rejection for a call again, and for one that the case has no need of."""
        made = list(seen)
        for tool, arguments in calls:
            one = (tool.name, as_json(arguments))
            again = one in made
            if again or (found.case != "given" and tool not in found.targets):
                why = "again" if again else f"in the case {found.case}"
                raise Rejection("unneeded_call", f"{one[0]}({one[1]}) {why}")
            made.append(one)

    async def _result(self, tool: Tool, arguments: dict[str, Any], executed: list[bool], llm: LLM) -> Any:
        """What a function returns, or a model makes up. Raises Rejection."""
        function = self.toolbox[tool.name][1] if tool.name in self.toolbox else None
        executed.append(function is not None)
        if function is not None:
            try:
                return await result_of(function, arguments, self.timeout_s)
            except ToolError as error:
                raise Rejection("tool_failed", f"{tool.name}({as_json(arguments)}): {error}") from None
        prompt = prompts.render("tool_result", function=as_line(tool), arguments=as_json(arguments))
        said = await llm.chat(prompt, self.result, json_schema=tool.returns or _RESULT)
        try:
            return json.loads(said.text, strict=False)
        except (ValueError, RecursionError):
            raise Rejection("no_result", said.text) from None

    def _check(self, found: Situation, results: Sequence[Any], text: str, finish_reason: str) -> None:
        """Raises Rejection for an answer that is none."""
        if not text.strip():
            raise Rejection("empty_answer")
        if finish_reason != "stop":
            raise Rejection("truncated_answer", text)
        if any(mark in text for mark in _MARKS):
            raise Rejection("call_in_answer", text)
        if found.case == "missing" and "?" not in text:
            raise Rejection("asks_nothing", f"{found.missing} is missing, and the answer does not ask: {text}")
        if self.verify:
            for value in results:
                if not states(text, value):
                    raise Rejection("result_not_stated", f"{as_json(value)[:200]}: {text}")


def _plain(turn: Message) -> Message:
    """A turn for a prompt, with a call's arguments as objects."""
    calls = [plain(one) for one in calls_of(turn)]
    said = {"role": turn["role"], "content": turn["content"]}
    return {"role": turn["role"], KEY: calls} if calls else said


def _parts(specification: Mapping[str, Any]) -> dict[str, Any]:
    function = specification["function"]
    parameters = function.get("parameters")
    return {
        "name": str(function.get("name")),
        "description": str(function.get("description") or ""),
        "parameters": parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}},
    }
