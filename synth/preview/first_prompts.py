"""The first prompt of each step, as the model would see it: for `dry_run=true`. Loads a tokenizer, and no engine.

A step is called with a record whose texts are their columns' names in angle brackets, and ends where it first asks the
model. Only steps of Synth's own are called: what others do beside asking is not known.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from synth.chat import ChatTemplate, ServedChat
from synth.configuration.config import Config
from synth.engines import FORMS, Answer, Form, Sampling
from synth.printable import printable
from synth.records import Rejection
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM, Endpoint
from synth.steps.strategy import Step, is_own_step
from synth.template import filled

HEAD, TAIL = 400, 120  # characters of a prompt that are shown
LIMIT_S = 5.0


class _Seen(BaseException):
    """The step has asked: of what it asks for, no more is wanted. No step's own `except Exception` takes it."""


class _Asked:
    """A Generator that keeps the first prompt, as its template spells it."""

    max_model_len = 2**31
    holds: frozenset[Form] = frozenset(FORMS.values())

    def __init__(self, template: ChatTemplate | ServedChat, prompts: list[str]):
        self._template, self._prompts = template, prompts

    async def generate(self, prompt: Any, sampling: Sampling) -> Answer:
        self._prompts.append(self._template.spelled(prompt))
        raise _Seen


class _NobodysPool:
    """A pool that is empty, as it is for the first records of a run."""

    async def examples(self) -> list[str]:
        return []

    async def offer(self, texts: Sequence[str]) -> list[bool]:
        return [True] * len(texts)


def first_prompts(config: Config, columns: Sequence[str]) -> list[str]:
    """A line for each step that asks the model. `columns` are the source's."""
    templates = config.load_chat_templates()
    record: dict[str, Any] = {name: f"<{name}>" for name in columns}
    lines = []
    for place, step in enumerate(config.strategy.steps):
        if step.description.calls:
            known = record if not place else {"instruction": "<instruction>", "response": "<response>"} | record
            lines.append(f"{step.name}: {_first_prompt(step, known, templates, config.settings.seed)}")
    return lines


def _first_prompt(
    step: Step, record: dict[str, Any], templates: Mapping[str, ChatTemplate | ServedChat], seed: int
) -> str:
    if not is_own_step(step.function):
        return "not known: a step of one's own is not run"
    prompts: list[str] = []
    endpoints = {name: Endpoint(_Asked(one, prompts), one, name) for name, one in templates.items()}
    llm = LLM(endpoints, Ledger(), seed, "0", step.name, step.model, pool=_NobodysPool())

    if step.system_prompt is not None:
        with suppress(Rejection):
            llm.system = filled(step.system_prompt, record)

    async def ask() -> None:
        with suppress(_Seen):
            await asyncio.wait_for(step.function(dict(record), llm), LIMIT_S)

    with suppress(Exception, BaseExceptionGroup):  # it takes more than names to ask
        asyncio.run(ask())
    return shown(prompts[0]) if prompts else "not known: it depends on what comes before"


def shown(prompt: str) -> str:
    """A prompt in one line, long ones without their middle."""
    if len(prompt) > HEAD + TAIL:
        left_out = len(prompt) - HEAD - TAIL
        prompt = f"{prompt[:HEAD]} … {left_out:,} characters … {prompt[-TAIL:]}"
    return printable(prompt).replace("\n", "\\n")
