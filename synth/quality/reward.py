"""Scores a record's conversation with a reward model, in the column `reward`; use Threshold to filter by it.

A reward model is a model of the run, whose engines score in batches (docs/models.md), or any class with
`score(messages)`, named by its `_target_`. SequenceClassifier is for models that vLLM can't load: it runs Transformers
beside the engine.

Magpie (arXiv 2406.08464, section 3) keeps rewards of at least -10 from FsfairX-LLaMA3-RM-v0.1.
"""

import asyncio
import inspect
import math
from collections.abc import Awaitable
from functools import cached_property
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import part
from synth.engines import Task
from synth.messages import as_messages, messages_of
from synth.models.files import missing_model
from synth.models.kinds import score_of
from synth.models.model import Model
from synth.own_time import ours
from synth.paths import ModelPath
from synth.quality.loaded import Loaded
from synth.quality.model_of_run import ModelOfRun, model_of_run
from synth.records import Needs, Record, Rejection

Messages = list[dict[str, str]]


class RewardModel(Protocol):
    """Scores a conversation that ends with an assistant's message; higher is better. Named by its `_target_`.

    A plain function runs in a thread, possibly several at once, so that other records go on. It is also instantiated
    where the configuration is read: load large files at the first score.
    """

    def score(self, messages: Messages) -> float | Awaitable[float]: ...


async def scored(model: Any, messages: list[dict[str, str]], llm: Any) -> Any:
    """The score of a conversation. A plain function runs in a thread."""
    if isinstance(model, ModelOfRun):
        return await llm.on(model.name).score(messages)
    if inspect.iscoroutinefunction(model.score):
        return await model.score(messages)
    given = await asyncio.to_thread(model.score, messages)
    return await given if inspect.isawaitable(given) else given


def reward_model(given: Any, key: str = "model") -> Any:
    """A single word is a model of the run, any other text a path."""
    given = model_of_run(given)
    if isinstance(given, ModelOfRun):
        return given
    return SequenceClassifier(path=given) if isinstance(given, str) else part(given, key, RewardModel)


def pooling_of(model: Any) -> dict[str, Task]:
    """The attribute `pooling` of a step with this reward model."""
    return {model.name: "score"} if isinstance(model, ModelOfRun) else {}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Reward:
    """Adds `reward`, the score of the whole conversation by `model`; higher is better.

    `model` is a reward model, the name of a model of the run, or the path for a SequenceClassifier.

    Rejections: `no_response`, and `no_score` if the score is missing or not finite.
    """

    model: Annotated[Any, BeforeValidator(reward_model)]

    columns: ClassVar[dict[str, str]] = {"reward": "double"}
    rejections: ClassVar[tuple[str, ...]] = ("no_response", "no_score")

    def needs(self) -> list[Needs]:
        return [{"response": "text", "messages": "conversation"}]

    def calls(self) -> list[Any]:
        return []

    @property
    def pooling(self) -> dict[str, Task]:
        return pooling_of(self.model)

    async def __call__(self, record: Record, llm: Any) -> Record:
        given = await scored(self.model, _conversation(record), llm)
        if given is None or not math.isfinite(given):
            raise Rejection("no_score", f"the reward model gave {given}")
        return record | {"reward": float(given)}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SequenceClassifier:
    """A sequence classification model of Transformers, with the chat template of its tokenizer. The score is its
    output, or with several outputs the log-odds of `label`.

    `path` is a folder or a name on the Hub; `device` is a device of torch, by default the GPU if there is one. Loaded
    at the first score. Scores one conversation at a time, by its last `max_tokens` tokens.
    """

    path: ModelPath
    label: str | None = None
    device: str | None = None
    dtype: str = "auto"
    max_tokens: Annotated[int, Field(ge=1)] = 4096

    def missing(self) -> str | None:
        if problem := missing_model(self.path):
            return f"path: {problem}"
        model = Model(path=self.path)
        try:
            if model.is_here:
                score_of(model.config, self.label)
        except ValueError as error:
            return f"label: {error}"
        except OSError:  # reported when it is loaded
            pass
        return None

    async def score(self, messages: list[dict[str, str]]) -> float:
        model, tokenizer, score, turn = await self._loaded.get()
        with ours():
            async with turn:
                outputs = await asyncio.to_thread(self._outputs, model, tokenizer, messages)
        return float(score.of(outputs))

    def _outputs(self, model: Any, tokenizer: Any, messages: list[dict[str, str]]) -> list[float]:
        import torch

        ids = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)[-self.max_tokens :]
        with torch.inference_mode():
            outputs: list[float] = model(torch.tensor([ids], device=model.device)).logits[0].float().tolist()
        return outputs

    @cached_property
    def _loaded(self) -> Loaded[Any]:
        def load() -> Any:
            import torch
            from transformers import AutoModelForSequenceClassification, AutoTokenizer

            device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
            model = AutoModelForSequenceClassification.from_pretrained(
                self.path, dtype=self.dtype, trust_remote_code=False
            )
            score = score_of(model.config.to_dict() | {"id2label": model.config.id2label}, self.label)
            tokenizer = AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
            return model.to(device).eval(), tokenizer, score, asyncio.Semaphore(1)

        return Loaded(f"the reward model {self.path}", load)


def _conversation(record: Record) -> list[dict[str, str]]:
    """Raises Rejection if the last message is not an assistant's."""
    turns = messages_of(record) or [turn for turn in as_messages(record) if turn["content"]]
    if not turns or turns[-1]["role"] != "assistant" or not turns[-1]["content"].strip():
        raise Rejection("no_response")
    return turns
