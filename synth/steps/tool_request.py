"""Draws what a user's request needs, one or more of some tools or none, and has a model write the request."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from synth.engines import Sampling
from synth.records import Rejection
from synth.steps import prompts
from synth.steps.copies import is_copy
from synth.steps.few_shot import few_shot, object_schema
from synth.steps.json_answer import json_object
from synth.steps.llm import LLM
from synth.tool_calls import as_json
from synth.tools.specification import Tool

Case = Literal["one", "several", "none", "irrelevant", "missing"]
_FORM = object_schema({"request": {"type": "string", "minLength": 1}})
_IN_CONTEXT = 3
_SMALL_TALK = (
    "Good morning! I finally slept well tonight.",
    "Why do cats purr?",
    "Thanks, that was all I wanted to know.",
    "Who wrote the novel Middlemarch?",
)


@dataclass(frozen=True)
class Situation:
    """The `offered` tools, and those that a request needs: `targets`, empty if it needs none. `about` are the tools
    that the request is written for; `missing` is the argument that it leaves out."""

    case: Case | Literal["given"]
    offered: Sequence[Tool]
    targets: Sequence[Tool] = ()
    about: Sequence[Tool] = ()
    missing: str | None = None

    @property
    def least_calls(self) -> int:
        return 2 if self.case == "several" else len(self.targets)


def situation(tools: Sequence[Tool], cases: Mapping[Case, float], most: int, rng: random.Random) -> Situation:
    """One of the `cases` by weight, with up to `most` tools offered."""
    case = rng.choices(list(cases), list(cases.values()))[0]
    room = len(tools) - (case == "irrelevant")
    drawn = rng.sample(tools, rng.randint(min(2, room), max(1, min(most, room))) + (case == "irrelevant"))
    match case:
        case "none":
            return Situation(case, drawn, about=drawn)
        case "irrelevant":
            return Situation(case, drawn[1:], about=drawn[:1])
        case "missing":
            able = [tool for tool in drawn if tool.required] or [tool for tool in tools if tool.required]
            chosen = rng.choice(able)
            offered = drawn if chosen in drawn else [*drawn[1:], chosen]
            return Situation(case, offered, about=[chosen], missing=rng.choice(chosen.required))
    targets = drawn[: 1 if case == "one" else 2]
    offered = list(drawn)
    rng.shuffle(offered)
    return Situation(case, offered, targets, targets)


async def written_request(situation: Situation, tools: Sequence[Tool], sampling: Sampling, llm: LLM) -> str:
    """Raises Rejection: `no_request`, `copies_prompt`."""
    shown = [tool for tool in tools if tool.example and tool not in situation.about and tool not in situation.offered]
    shown = llm.rng.sample(shown, min(_IN_CONTEXT, len(shown)))
    examples = [(_asked("one", [tool]), {"request": tool.example[0]}) for tool in shown if tool.example]
    if situation.case == "none":
        others = llm.rng.sample(_SMALL_TALK, 2)
        examples = [*examples[:1], *((_asked("none", situation.about), {"request": text}) for text in others)]
    request = _asked(situation.case, situation.about, situation.missing)
    answer = await llm.chat(few_shot(examples, request), sampling, json_schema=_FORM)
    found = (json_object(answer.text, "request") or {}).get("request")
    if not isinstance(found, str) or not found.strip():
        raise Rejection("no_request", answer.text)
    texts = [str(given["request"]) for _, given in examples]
    if is_copy(found, [request, *texts, *(tool.description for tool in situation.about)]):
        raise Rejection("copies_prompt", found)
    return found.strip()


def _asked(case: str, about: Sequence[Tool], missing: str | None = None) -> str:
    functions = [as_line(tool) for tool in about]
    times = 2 if case == "several" and len(about) == 1 else 1
    return prompts.render("tool_request", case=case, functions=functions, missing=missing, times=times)


def as_line(tool: Tool) -> str:
    """A tool for a prompt, as JSON on one line: no text of its description can begin a line."""
    return as_json(tool.specification["function"])
