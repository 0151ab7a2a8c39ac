"""The first prompt of each step as the model would see it, for `dry_run=true`. Loads a tokenizer, and no engine.

A step is called with a record whose texts are the names of their columns in angle brackets, until it first calls the
model. Only Synth's own steps are called: a user's step may have side effects.
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
from synth.steps.endpoints import Endpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from synth.steps.strategy import Step, is_own_step
from synth.template import filled

HEAD, TAIL = 400, 120  # characters shown of a prompt
LIMIT_S = 5.0


class _Seen(BaseException):
    """Ends a step at its first call. A BaseException, so that no step catches it."""


class _Asked:
    """A Generator that keeps the first prompt, as text."""

    max_model_len = 2**31
    holds: frozenset[Form] = frozenset(FORMS.values())

    def __init__(self, template: ChatTemplate | ServedChat, prompts: list[str]):
        self._template, self._prompts = template, prompts

    async def generate(self, prompt: Any, sampling: Sampling) -> Answer:
        self._prompts.append(self._template.spelled(prompt))
        raise _Seen


class _NobodysPool:
    """An empty pool, as for the first records of a run."""

    async def examples(self) -> list[str]:
        return []

    async def offer(self, texts: Sequence[str]) -> list[bool]:
        return [True] * len(texts)


def first_prompts(config: Config, columns: Sequence[str]) -> list[str]:
    """A line for each step that calls the model. `columns` are the source's."""
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
        return "unknown: steps of your own are not run"
    prompts: list[str] = []
    endpoints = {name: Endpoint(_Asked(one, prompts), one, name) for name, one in templates.items()}
    llm = LLM(endpoints, Ledger(), seed, "0", step.name, step.model, pool=_NobodysPool())

    if step.system_prompt is not None:
        with suppress(Rejection):
            llm.system = filled(step.system_prompt, record)

    async def ask() -> None:
        with suppress(_Seen):
            await asyncio.wait_for(step.function(dict(record), llm), LIMIT_S)

    with suppress(Exception, BaseExceptionGroup):  # the step needs more than placeholder texts
        asyncio.run(ask())
    return shown(prompts[0]) if prompts else "unknown: it depends on the record"


def shown(prompt: str) -> str:
    """A prompt in one line; the middle of long ones is left out."""
    if len(prompt) > HEAD + TAIL:
        left_out = len(prompt) - HEAD - TAIL
        prompt = f"{prompt[:HEAD]} … {left_out:,} characters … {prompt[-TAIL:]}"
    return printable(prompt).replace("\n", "\\n")
