"""Magpie (arXiv 2406.08464): an aligned model writes instructions when its prompt is only the start of a user's turn.

The pre-query prompt is derived from the model's own chat template (synth/chat), so any model with one works.
Instruction and response have samplings of their own. A system prompt steers the topic; of several, one is drawn per
record by weight. It is a template over the record's columns, such as those of a grid. With `n_turns` the user's next
turn is drawn after each answer (the paper's Magpie-MT).
"""

from dataclasses import field
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.engines import Sampling
from synth.engines.repetition import REPETITION
from synth.messages import Message, first_turn
from synth.records import Needs, Record, Rejection
from synth.steps.beginning import Draft
from synth.steps.llm import LLM
from synth.template import Template, filled, needed


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SystemPrompt:
    """A system prompt and its weight; weights need not sum to 1.

    The text is a template over the record's columns. Null stands for no system prompt, with a weight too.
    """

    text: Template | None
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0


def _as_prompts(given: Any) -> Any:
    """A string, or a list with strings, as SystemPrompts."""
    if given is None:
        return []
    return [{"text": one} if isinstance(one, str | None) else one for one in as_list(given)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Magpie:
    """Draws a conversation of `n_turns` turns, each a user's message and an answer.

    The first user's message begins with `prefix`, if given (Magpie-prefill, KodCode, arXiv 2503.02951).
    `end_with_user` leaves the last user message unanswered; `only_instruction` draws one user message and nothing else.
    With `keep_system_prompt` false the system prompt is used for the user's turns only: answers are drawn without it,
    and of the row's columns only the lineage has it.

    `min_logprob` rejects improbable user messages: it bounds the mean natural logarithm of the token probabilities,
    before temperature and filters (Answer.logprob). Messages with many unlikely tokens in a row are word salad. An
    engine that reports no probabilities rejects nothing.

    A row has all its turns or is rejected: `missing_column` and `template_failed` (a system prompt does not fit the
    record), `empty_instruction`, `truncated_instruction` (max_tokens cut it), `repetition` (of either side),
    `incoherent_instruction` (below `min_logprob`), `empty_response`, and `truncated_response` if a turn was to follow.
    A last answer that was cut is kept; its `finish_reason` is `length`.
    """

    instruction: Sampling = field(default_factory=lambda: Sampling(temperature=0.9))
    response: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048))
    n_turns: Annotated[int, Field(ge=1)] = 1
    end_with_user: bool = False
    only_instruction: bool = False
    prefix: str | None = None
    system_prompts: Annotated[list[SystemPrompt], BeforeValidator(_as_prompts)] = field(default_factory=list)
    keep_system_prompt: bool = True
    min_logprob: Annotated[float, Field(le=0, allow_inf_nan=False)] | None = None

    columns: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        if self.only_instruction and self.n_turns > 1:
            raise ValueError("only_instruction draws one user message: it can't be combined with n_turns > 1")
        if self.system_prompts and not any(prompt.weight for prompt in self.system_prompts):
            raise ValueError("system_prompts: at least one weight must be above 0")

    @property
    def rejections(self) -> tuple[str, ...]:
        unfilled = ("missing_column", "template_failed") if self.needs() else ()
        incoherent = ("incoherent_instruction",) if self.min_logprob is not None else ()
        looped = (REPETITION,) if any(call.repetition_detection for call in self.calls()) else ()
        cut = ("truncated_instruction", *looped)
        return (*unfilled, "empty_instruction", *cut, *incoherent, "empty_response", "truncated_response")

    def needs(self) -> list[Needs]:
        """The columns that system prompts use."""
        texts = [prompt.text for prompt in self.system_prompts if prompt.weight and prompt.text is not None]
        return [(name,) for name in sorted({name for text in texts for name in needed(text)})]

    def calls(self) -> list[Sampling]:
        """The most engine calls of one record."""
        calls = [self.instruction, self.response] * self.n_turns
        return calls[:-1] if self.end_with_user or self.only_instruction else calls

    @property
    def outline(self) -> list[str]:
        return [f"{self.n_turns} turns, each: instruction, response"] if self.n_turns > 1 else []

    def as_user(self) -> list[Sampling]:
        return [self.instruction]

    @property
    def under_system_prompt(self) -> bool:
        return bool(self.system_prompts) and (self.keep_system_prompt or len(self.calls()) == 1)

    async def __call__(self, record: Record, llm: LLM) -> Record:
        system_prompt = self._draw_system_prompt(record, llm)
        system: list[Message] = []
        if system_prompt is not None:
            llm.note(system_prompt, "system_prompt")
            system = [{"role": "system", "content": system_prompt}]
        kept_system = system if self.keep_system_prompt else []
        turns: list[Message] = []
        try:
            finish_reason = await self._talk(record, turns, system, kept_system, llm)
        except Rejection as rejection:
            if rejection.record is None:
                rejection.record = self._written(record, turns, kept_system, None)
            raise
        return self._written(record, turns, kept_system, finish_reason)

    async def _talk(
        self, record: Record, turns: list[Message], system: list[Message], kept_system: list[Message], llm: LLM
    ) -> str:
        """Append to `turns`. Returns the last finish reason; raises Rejection if the conversation can't go on."""

        def with_turn(role: str) -> Draft:
            return lambda text: self._written(record, [*turns, {"role": role, "content": text}], kept_system, None)

        for turn in range(1, self.n_turns + 1):
            query = await llm.query(
                system + turns,
                self.instruction,
                prefix=self.prefix if turn == 1 else None,
                draft=with_turn("user"),
                logprob=self.min_logprob is not None,
            )
            turns.append({"role": "user", "content": query.text})
            if turn == 1:
                llm.note(query.text, "instruction")
            if query.finish_reason != "stop":
                raise Rejection(REPETITION if query.finish_reason == REPETITION else "truncated_instruction")
            if not query.text:
                raise Rejection("empty_instruction")
            if self.min_logprob is not None and query.logprob is not None and query.logprob < self.min_logprob:
                raise Rejection("incoherent_instruction", f"a mean log-probability of {query.logprob:.2f}")
            if turn == self.n_turns and (self.end_with_user or self.only_instruction):
                return query.finish_reason
            answer = await llm.chat(kept_system + turns, self.response, draft=with_turn("assistant"))
            turns.append({"role": "assistant", "content": answer.text})
            goes_on = turn < self.n_turns
            if answer.finish_reason == REPETITION and (goes_on or not answer.text):
                raise Rejection(REPETITION)
            if not answer.text:
                raise Rejection("empty_response")
            if goes_on and answer.finish_reason == "length":
                raise Rejection("truncated_response")  # no complete turn to continue from
        return answer.finish_reason

    def _draw_system_prompt(self, record: Record, llm: LLM) -> str | None:
        """Raises Rejection if a template does not fit the record."""
        if not self.system_prompts:
            return None
        text = llm.rng.choices(self.system_prompts, [prompt.weight for prompt in self.system_prompts])[0].text
        return None if text is None else filled(text, record)

    def _written(
        self, record: Record, turns: list[Message], kept_system: list[Message], finish_reason: str | None
    ) -> Record:
        messages = kept_system + turns
        return record | first_turn(messages) | {"messages": messages, "finish_reason": finish_reason}
