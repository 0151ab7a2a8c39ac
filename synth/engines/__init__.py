"""What an engine is: something that continues a list of token ids, or a conversation where it reads messages, or that
makes numbers of token ids.

Four lines of protocol, so that a technique runs unchanged on vLLM in this process, on a server, or on a
simulation. An engine knows nothing of records, chat templates or strategies.
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
Form = Literal["json", "choice", "regex"]
Task = Literal["score", "embed"]
Reads = Literal["token_ids", "messages"]
FinishReason = Literal["stop", "length", "repetition", "abort"]
Prompt = Sequence[int] | Sequence[Mapping[str, str]]  # token ids, or messages of {role, content}
GIVEN = "assistant, begun"  # the role of a last message that is not at its end, which the answer goes on from
SERVED_WAYS_TO_THINK = ("on", "off", "none", "minimal", "low", "medium", "high", "xhigh")  # as chat APIs have them
WATCHED_EVERY = 32  # tokens: an answer is looked at after so many more, or a few beyond that
FORMS: dict[str, Form] = {"json_schema": "json", "choice": "choice", "regex": "regex"}  # by their fields in Sampling


def _switched(given: Any) -> Any:
    """true and false, as people write them, for the default and for none."""
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
    """How tokens are drawn. `max_tokens` bounds the answer; `temperature` 0 is greedy.

    `stop` are strings, `stop_token_ids` ids, that end an answer beside the model's own; neither stays in it.

    At most one of `json_schema`, `choice` and `regex` is the form that the answer has, if it is not cut: a JSON schema,
    the texts of which it is one, or a regular expression that it matches from its first character to its last. An
    engine that can't hold a form (Generator.holds) is not asked for it.

    `repetition_detection` ends an answer that goes round in circles (synth/engines/repetition.py); null or false lets
    it run to max_tokens. An answer that is asked for in a form may: its lists repeat themselves.

    `logprob` true asks for Answer.logprob, which costs a little time for every token.

    `thinking` is whether a model that can thinks before it answers: `on`, `off`, another way that its chat template
    knows (`high`), or weights of them, by which one is drawn for each record in each step; None leaves it to the
    template. After `thinking_tokens` its thoughts are closed and the answer is asked for, which `max_tokens` then
    bounds alone; None: both together have `max_tokens`.

    `model` names the model of the run that is asked; None is the step's own. No engine is told.

    Raises ValueError where more than one form is given, and for weights of which none is above 0.
    """

    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Share = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    max_tokens: Annotated[int, Field(gt=0)] = 1024
    stop: tuple[str, ...] = ()
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
            raise ValueError(f"{given[1]}: an answer has one form, and {given[0]} is given too")

    @property
    def ways_to_think(self) -> tuple[str, ...]:
        """Those that may be asked for, in order of their names: a draw does not depend on how they were written."""
        if self.thinking is None:
            return ()
        if isinstance(self.thinking, str):
            return (self.thinking,)
        return tuple(sorted(way for way, weight in self.thinking.items() if weight))

    @property
    def most_tokens(self) -> int:
        """Of the thoughts, as far as they have a bound of their own, and the answer."""
        return self.max_tokens + (self.thinking_tokens or 0)

    @property
    def form(self) -> Form | None:
        """What an engine has to hold for this."""
        return next((form for name, form in FORMS.items() if getattr(self, name) is not None), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine gives back. `token_ids` has no stop token in it.

    `text` is filled by the engine only where it had to make it (stop strings); else the caller decodes. An engine that
    reads messages gives a text and no token ids: `counted` says how many there were, and `reasoning` holds the thoughts
    before the text, None without any. `withheld` says why there is no answer, where a server refuses to give one, and
    `too_long` where the prompt leaves no room for it.

    `finish_reason` is `stop`, or `length` when max_tokens or the model's context cut the answer, `repetition` when it
    looped, and `abort` when whoever watched it ended it. `engine_seconds` are filled in by the worker. `logprob` is the
    mean natural logarithm of the probabilities that the model gave to its tokens, the one that ended it among them,
    before temperature and filters; None unless it was asked for, and of an engine that doesn't tell.
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
    """Given all tokens of an answer so far, and its text where the engine makes one: whether it is to end there."""

    def __call__(self, token_ids: Sequence[int], text: str | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a pooling engine makes of a list of token ids: `values` are a score, as an array of one number, or an
    embedding, as long as the model's hidden size. `engine_seconds` are filled in by the worker."""

    values: NDArray[np.float32]
    prompt_tokens: int
    cached_tokens: int = 0
    engine_seconds: float = 0.0


@dataclass(slots=True)
class EngineStats:
    """What an engine is busy with at this moment. Shares are from 0 to 1. `generated` are all tokens that it has
    written since it started, for answers that have not ended too; None where it hears of them at the end only.
    `paused_s` are the seconds for which a server's rate limit still keeps it from asking. `preempted` counts requests
    that lost their place in its cache and were begun again, and `recomputed` the tokens that this took; None where it
    does not say. `cache_tokens` is how many its cache holds, and `at_once` how many requests it takes by now, None as
    many as it is configured for."""

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
    """What one replica takes from its machine.

    With several `nodes` it may span as many, an equal share of its GPUs on each. Where it has to, a Ray
    placement group holds its GPUs, one in each bundle. `share` is how much of a GPU's memory an engine of one GPU takes
    where it has to share it with others; None: it can't.
    """

    gpus: float = 0
    cpus: float = 1
    env: dict[str, str] = field(default_factory=dict)
    nodes: int = 1
    share: float | None = None


class Generator(Protocol):
    """All that a record sees of an engine. `max_model_len` is in tokens, prompt and answer together.

    `holds` are the forms that it can make an answer have, once it is started; an engine without it holds none.

    Its `generate` may take an argument `watch`, which is called every WATCHED_EVERY tokens or so with all that there
    are, in any thread; where it returns true the answer ends there, with finish_reason `abort`.
    """

    holds: frozenset[Form] = frozenset()

    @property
    def max_model_len(self) -> Annotated[int, Field(gt=0), LATER]: ...

    async def generate(self, prompt: Prompt, sampling: Sampling) -> Answer: ...


class Pooler(Protocol):
    """The like of an engine that generates nothing. `task` is what it gives: a score, or an embedding.

    The values are as the model's last layer gives them: no sigmoid on a score, no scaling of an embedding to length 1.
    """

    @property
    def task(self) -> Annotated[Task, LATER]: ...

    @property
    def max_model_len(self) -> Annotated[int, Field(gt=0), LATER]: ...

    async def pool(self, prompt: Sequence[int]) -> Pooled: ...


class Lifecycle(Protocol):
    """Configuration in its fields, an engine after `start`. Raises EngineError when it cannot go on.

    `concurrency` is how many requests it runs at once; `placement` says what a replica needs of a machine that it
    shares with `replicas_beside` others. `reads` says what its prompts are.
    """

    reads: Reads = "token_ids"

    @property
    def concurrency(self) -> Annotated[int, Field(gt=0)]: ...

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement: ...

    async def start(self) -> None: ...

    # May have `missing() -> str | None`, as Model has it: what is not there is said before anything is started.

    def stats(self) -> EngineStats: ...

    async def stop(self) -> None: ...


class Engine(Lifecycle, Generator, Protocol):
    """One that generates: of main, or of another model of a run."""


class PoolingEngine(Lifecycle, Pooler, Protocol):
    """One that scores or embeds, of a model beside main."""


def watching(engine: Any, watch: Watch | None) -> dict[str, Watch]:
    """What its `generate` is given further, to watch an answer: nothing where it takes no such argument."""
    generate = engine.generate
    return {"watch": watch} if watch and _takes_watch(getattr(generate, "__func__", generate)) else {}


@cache
def _takes_watch(generate: Any) -> bool:
    return "watch" in inspect.signature(generate).parameters


def is_pooling(engine: Any) -> bool:
    """Which of both kinds an engine is, or the class of one."""
    return hasattr(engine, "pool")


def engine_protocol(engine: Any) -> type:
    """What an engine, or the class of one, has to have."""
    return PoolingEngine if is_pooling(engine) else Engine


class EngineError(RuntimeError):
    """The engine is broken: no request will succeed until it is started anew."""


class Unusable(EngineError):
    """What is configured can't be started on this machine: another try would end the same."""


class Unavailable(EngineError):
    """What is not there at the moment, a server or a GPU's memory, and may come."""
