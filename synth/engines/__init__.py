"""The interface of an engine, which generates from token ids or messages, or scores or embeds token ids.

A small protocol, so that a technique runs unchanged on vLLM in this process, on a server, or on a simulation. An engine
knows nothing of records, chat templates or strategies.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pydantic.dataclasses
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field

from synth.components.protocols import LATER
from synth.engines.repetition import RepetitionDetection

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Form = Literal["json", "choice", "regex"]
Task = Literal["score", "embed"]
Reads = Literal["token_ids", "messages"]
FinishReason = Literal["stop", "length", "repetition", "abort"]
Prompt = Sequence[int] | Sequence[Mapping[str, str]]  # token ids, or messages of {role, content}
GIVEN = "assistant, begun"  # role of a last message that is incomplete and is continued by the answer
SERVED_WAYS_TO_THINK = ("on", "off", "none", "minimal", "low", "medium", "high", "xhigh")  # names in chat APIs
WATCHED_EVERY = 32  # tokens: a watch is called after at least so many new tokens
FORMS: dict[str, Form] = {"json_schema": "json", "choice": "choice", "regex": "regex"}  # by field of Sampling


def _switched(given: Any) -> Any:
    """true stands for the default, false for None."""
    return ({} if given else None) if isinstance(given, bool) else given


def _ways_to_think(given: Any) -> Any:
    """YAML reads `on` and `off` as true and false."""
    words = {True: "on", False: "off"}
    if isinstance(given, bool):
        return words[given]
    if isinstance(given, Mapping):
        return {words[way] if isinstance(way, bool) else way: weight for way, weight in given.items()}
    return given


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Sampling:
    """Sampling parameters. `max_tokens` bounds the answer; `temperature` 0 is greedy.

    `stop` are strings and `stop_token_ids` ids that end an answer beside the model's own; both are removed from it.

    At most one of `json_schema`, `choice` and `regex` constrains the answer, if it is not cut: to a JSON schema, to one
    of several texts, or to a regular expression that matches all of it. Engines that don't support a form
    (Generator.holds) get the request without it.

    `repetition_detection` ends an answer that loops (synth/engines/repetition.py); null or false lets it run to
    max_tokens. It does not apply to structured output, since lists repeat themselves.

    `logprob` true asks for Answer.logprob, at a small cost per token.

    `thinking` sets whether a model that can thinks before it answers: `on`, `off`, another mode of its chat template
    (`high`), or weights of modes, of which one is drawn for each record in each step; None: the template's default.
    After `thinking_tokens` the reasoning is closed and the answer is requested, bounded by `max_tokens`; None: both
    together have `max_tokens`.

    `seed` None is derived for each call from the run's seed, the record and the step.

    `model` is the model of the run to call; None: the step's model. It is not passed to the engine.

    Raises ValueError if more than one form is given, and for weights that are all 0.
    """

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0
    top_p: Share = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    max_tokens: Annotated[int, Field(gt=0)] = 1024
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    json_schema: dict[str, Any] | None = None
    choice: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    regex: str | None = None
    repetition_detection: Annotated[RepetitionDetection | None, BeforeValidator(_switched)] = RepetitionDetection()
    logprob: bool = False
    thinking: Annotated[str | dict[str, Weight] | None, BeforeValidator(_ways_to_think)] = None
    thinking_tokens: Annotated[int, Field(gt=0)] | None = None
    seed: int | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        if self.thinking == {} or (self.thinking and not self.ways_to_think):
            raise ValueError("thinking: at least one weight must be above 0")
        given = [name for name in FORMS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: can't be combined with {given[0]}; set one of them")

    @property
    def ways_to_think(self) -> tuple[str, ...]:
        """The modes that may be drawn, sorted by name: a draw does not depend on their order in the file."""
        if self.thinking is None:
            return ()
        if isinstance(self.thinking, str):
            return (self.thinking,)
        return tuple(sorted(way for way, weight in self.thinking.items() if weight))

    @property
    def most_tokens(self) -> int:
        """Of the reasoning, if it has a bound of its own, and the answer."""
        return self.max_tokens + (self.thinking_tokens or 0)

    @property
    def form(self) -> Form | None:
        """The form of structured output that it needs."""
        return next((form for name, form in FORMS.items() if getattr(self, name) is not None), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """An engine's answer. `token_ids` has no stop token.

    `text` is set only if the engine had to decode it (stop strings); otherwise the caller decodes. An engine that reads
    messages returns text and no token ids: `counted` is the number of tokens, and `reasoning` the reasoning before the
    text, None without any. `withheld` is the reason why a server refuses to answer, `too_long` the reason if the prompt
    leaves no room for an answer.

    `finish_reason` is `stop`, or `length` if max_tokens or the model's context cut the answer, `repetition` if it
    looped, and `abort` if a watch ended it. `engine_seconds` are set by the worker. `logprob` is the mean natural
    logarithm of the model's probabilities of its tokens, including the one that ended it, before temperature and
    filters; None unless requested, and from engines that report none.
    """

    token_ids: Sequence[int]
    finish_reason: FinishReason
    prompt_tokens: int
    cached_tokens: int = 0
    text: str | None = None
    engine_seconds: float = 0.0
    logprob: float | None = None
    counted: int | None = None
    reasoning: str | None = None
    withheld: str | None = None
    too_long: str | None = None

    @property
    def completion_tokens(self) -> int:
        return len(self.token_ids) if self.counted is None else self.counted


class Watch(Protocol):
    """Called with all tokens of a partial answer, and its text if the engine decodes it: returns whether to end it."""

    def __call__(self, token_ids: Sequence[int], text: str | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Pooled:
    """A pooling engine's output: `values` are a score, an array of one number, or an embedding of the model's hidden
    size. `engine_seconds` are set by the worker."""

    values: NDArray[np.float32]
    prompt_tokens: int
    cached_tokens: int = 0
    engine_seconds: float = 0.0


@dataclass(slots=True)
class EngineStats:
    """An engine's current state. Shares are from 0 to 1. `generated` counts all tokens written since its start, also of
    unfinished answers; None if it reports tokens only at the end. `paused_s` are the seconds until a server's rate
    limit permits requests. `preempted` counts requests that were preempted and restarted, `recomputed` the tokens that
    this took; None if unknown. `cache_tokens` is the capacity of its KV cache, and `at_once` the current limit of
    concurrent requests, None: as configured."""

    running: int = 0
    waiting: int = 0
    cache_usage: float = 0.0
    generated: float | None = None
    paused_s: float = 0.0
    preempted: int | None = None
    recomputed: int | None = None
    cache_tokens: int | None = None
    at_once: int | None = None


@dataclass(frozen=True)
class Placement:
    """The resources of one replica.

    With several `nodes` it may span as many, with an equal share of its GPUs on each. If it must, a Ray placement group
    reserves its GPUs, one per bundle. `share` is the share of a GPU's memory that an engine of one GPU takes if it
    shares the GPU with others; None: it can't.
    """

    gpus: float = 0
    cpus: float = 1
    env: dict[str, str] = field(default_factory=dict)
    nodes: int = 1
    share: float | None = None


class Generator(Protocol):
    """A generating engine as records see it. `max_model_len` is in tokens, prompt and answer together.

    `holds` are the forms of structured output that it supports, once started; without the attribute none.

    Its `generate` may take an argument `watch`, which is called about every WATCHED_EVERY tokens with all tokens so
    far, in any thread; if it returns true the answer ends there, with finish_reason `abort`.
    """

    holds: frozenset[Form] = frozenset()

    @property
    def max_model_len(self) -> Annotated[int, Field(gt=0), LATER]: ...

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Answer: ...


class Pooler(Protocol):
    """A pooling engine as records see it. `task` is its output: a score, or an embedding.

    Values are those of the model's last layer: no sigmoid on a score, no normalization of an embedding.
    """

    @property
    def task(self) -> Annotated[Task, LATER]: ...

    @property
    def max_model_len(self) -> Annotated[int, Field(gt=0), LATER]: ...

    async def pool(self, prompt: Sequence[int]) -> Pooled: ...


class Lifecycle(Protocol):
    """An engine is configured by its fields and ready after `start`. Raises EngineError when it cannot go on.

    `concurrency` is the number of requests that it runs at once; `placement` returns what a replica needs on a machine
    that it shares with `replicas_beside` others. `reads` is the kind of its prompts.
    """

    reads: Reads = "token_ids"

    @property
    def concurrency(self) -> Annotated[int, Field(gt=0)]: ...

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement: ...

    async def start(self) -> None: ...

    # May have `missing() -> str | None`, as Model does: an error about missing files, reported before the start.

    def stats(self) -> EngineStats: ...

    async def stop(self) -> None: ...


class Engine(Lifecycle, Generator, Protocol):
    """An engine that generates: of main, or of another model."""


class PoolingEngine(Lifecycle, Pooler, Protocol):
    """An engine that scores or embeds, of a model beside main."""


def watching(engine: Any, watch: Watch | None) -> dict[str, Watch]:
    """The keyword arguments by which its `generate` is watched: none if it takes no watch."""
    generate = engine.generate
    return {"watch": watch} if watch and _takes_watch(getattr(generate, "__func__", generate)) else {}


@cache
def _takes_watch(generate: Any) -> bool:
    return "watch" in inspect.signature(generate).parameters


def is_pooling(engine: Any) -> bool:
    """Whether an engine, or an engine's class, is a pooling one."""
    return hasattr(engine, "pool")


def engine_protocol(engine: Any) -> type:
    """The protocol of an engine, or of an engine's class."""
    return PoolingEngine if is_pooling(engine) else Engine


class EngineError(RuntimeError):
    """The engine is broken: no request will succeed until it is restarted."""


class Unusable(EngineError):
    """The configuration can't be started on this machine: another try would fail the same way."""


class Unavailable(EngineError):
    """A resource is temporarily unavailable, such as a server or a GPU's memory."""
