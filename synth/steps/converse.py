"""Conversations: a simulated user with a persona and a goal, and an assistant, each of which may be a model of its own.

The user's turns are drawn where the chat template has the user speak, under a system prompt that describes the user
(as in Magpie, arXiv 2406.08464, which has the first turn only). An assistant that is asked to play a user soon speaks
as an assistant again: docs/conversation.md has the comparison. `user_by: chat` asks for them all the same, for models
behind a chat API.

A conversation ends when its goal is met, at `max_turns`, or before a turn that is unusable.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.engines.repetition import REPETITION
from synth.messages import Message, as_line, as_messages, first_turn, messages_of
from synth.records import Needs, Record, Rejection
from synth.steps.beginning import Draft
from synth.steps.converse_examples import EXAMPLES, Example
from synth.steps.copies import is_copy
from synth.steps.eliminations import same_words, speaks_as_assistant
from synth.steps.few_shot import few_shot, object_schema
from synth.steps.json_answer import json_object
from synth.steps.ledger import Completion
from synth.steps.llm import LLM
from synth.steps.prompts import render
from synth.steps.self_instruct_parsing import is_yes
from synth.template import Template, filled, needed, unfilled

_FORM = object_schema({"message": {"type": "string", "minLength": 1}})
# What makes a turn unusable: the conversation ends before it if it is long enough, else the record is rejected.
_UNUSABLE = (
    "empty_turn",
    "truncated_turn",
    "incoherent_turn",
    "assistant_voice",
    "repeats_turn",
    "copies_prompt",
    "empty_response",
    REPETITION,
)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Converse:
    """Continues a record's conversation, or begins one, until it has `max_turns` turns: user's messages with answers.

    `persona` and `goal` describe the user: templates over the record's columns, after "The user is" and "What they want
    of you:". After each answer from `min_turns` on, the model of `verdict` is asked whether the goal is met; the
    conversation ends if it is. `system_prompt` is the assistant's, kept through all turns; null: the record's, if any.

    Each side has its sampling, which may name a model of the run. `user_by` query draws the user's turns from the chat
    template, and `min_logprob` bounds their mean log-probability, as Magpie's does; chat asks the model for them.

    Columns: `goal_met`, null without a goal; `conversation_end`: `goal_met`, `max_turns`, `truncated_response` (the
    last answer was cut by max_tokens) or the reason for which the next turn was unusable.

    Rejections, of a conversation with fewer than `min_turns` turns: `empty_turn`, `truncated_turn`, `incoherent_turn`
    (below `min_logprob`), `assistant_voice` (the user speaks as an assistant), `repeats_turn` (a message
    copies an earlier one), `copies_prompt`, `empty_response`, `truncated_response`, `repetition`. Of any: `no_verdict`,
    `goal_not_met` if `keep_unmet` is false; of templates `missing_column` and `template_failed`.
    """

    persona: Template | None = None
    goal: Template | None = None
    system_prompt: Template | None = None
    user_by: Literal["query", "chat"] = "query"
    min_turns: Annotated[int, Field(ge=1)] = 2
    max_turns: Annotated[int, Field(ge=1)] = 4
    keep_unmet: bool = True
    min_logprob: Annotated[float, Field(le=0, allow_inf_nan=False)] | None = None
    user: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=256))
    response: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048))
    verdict: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=8))

    columns: ClassVar[dict[str, str]] = {"goal_met": "bool", "conversation_end": "string"}

    def __post_init__(self) -> None:
        if self.min_turns > self.max_turns:
            raise ValueError(f"min_turns: can't be more than max_turns, which is {self.max_turns}")
        if self.goal is None and not self.keep_unmet:
            raise ValueError("keep_unmet: false needs a goal")

    @property
    def rejections(self) -> tuple[str, ...]:
        of_goal = ("no_verdict", *(("goal_not_met",) if not self.keep_unmet else ())) if self.goal is not None else ()
        unread = unfilled(self.persona, self.goal, self.system_prompt)
        return (*_UNUSABLE, "truncated_response", *of_goal, *unread)

    def needs(self) -> list[Needs]:
        texts = [one for one in (self.persona, self.goal, self.system_prompt) if one is not None]
        return [(name,) for name in sorted({name for text in texts for name in needed(text)})]

    def calls(self) -> list[Sampling]:
        judged = self.max_turns - self.min_turns + 1 if self.goal is not None else 0
        return [self.user, self.response] * self.max_turns + [self.verdict] * judged

    def as_user(self) -> list[Sampling]:
        return [self.user] if self.user_by == "query" else []

    @property
    def under_system_prompt(self) -> bool:
        return self.system_prompt is not None and not (self.persona is None and self.goal is None)

    @property
    def outline(self) -> list[str]:
        ends = ", until the goal is met" if self.goal is not None else ""
        return [f"{self.min_turns} to {self.max_turns} turns, each: user, response{ends}"]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        talk = _Talk(self, record, llm)
        try:
            await talk.run()
        except Rejection as rejection:
            if rejection.record is None:
                rejection.record = talk.written()
            raise
        return talk.written()


class _Talk:
    """One conversation as it grows: `turns`, without the system prompt, is complete after each answer."""

    def __init__(self, step: Converse, record: Record, llm: LLM):
        self._step, self._record, self._llm = step, record, llm
        self._persona, self._goal = (text and filled(text, record) for text in (step.persona, step.goal))
        given = messages_of(record) or as_messages(record)
        self._system = [message for message in given if message["role"] == "system"]
        if step.system_prompt is not None:
            self._system = [{"role": "system", "content": filled(step.system_prompt, record)}]
        self.turns = [message for message in given if message["role"] != "system"]
        self.finish_reason: str | None = None
        self.goal_met: bool | None = None
        self.end = "max_turns"

    async def run(self) -> None:
        """Raises Rejection if there are too few turns, the verdict is unreadable, or the goal has to be met and is
        not."""
        step = self._step
        if self._persona or self._goal:
            self._llm.note(self._described(), "user")
        while self._answers() < step.max_turns:
            complete = list(self.turns)
            try:
                await self._turn()
            except Rejection as unusable:
                ends = unusable.reason in (*_UNUSABLE, "prompt_too_long")
                if not ends or self._answers(complete) < step.min_turns:
                    raise
                self.turns, self.end = complete, unusable.reason
                break
            if self.finish_reason == "length":
                self.end = "truncated_response"
                if self._answers() < step.min_turns:
                    raise Rejection(self.end)
                break
            if self._goal and self._answers() >= step.min_turns and await self._is_met(self._goal):
                self.end = "goal_met"
                break
        if not step.keep_unmet and not self.goal_met:
            raise Rejection("goal_not_met", self.end)

    def written(self) -> Record:
        messages = self._system + self.turns
        columns = {"goal_met": self.goal_met, "conversation_end": self.end, "finish_reason": self.finish_reason}
        return self._record | first_turn(messages) | {"messages": messages} | columns

    def _answers(self, turns: Sequence[Message] | None = None) -> int:
        return sum(message["role"] == "assistant" for message in (self.turns if turns is None else turns))

    async def _turn(self) -> None:
        """A user's message, unless one waits for its answer, and the answer. Raises Rejection for an unusable one."""
        # A turn beyond min_turns may be dropped with the row kept, so later filters can't doom the record for it.
        doomed = self._answers() < self._step.min_turns
        if not self.turns or self.turns[-1]["role"] != "user":
            text = await self._user(self._draft("user") if doomed else None)
            self.turns = [*self.turns, {"role": "user", "content": text}]
        draft = self._draft("assistant") if doomed else None
        answer = await self._llm.chat(self._system + self.turns, self._step.response, draft=draft)
        if not answer.text or answer.finish_reason == REPETITION:
            raise Rejection(REPETITION if answer.finish_reason == REPETITION else "empty_response")
        self._refuse_repetition(answer.text)
        self.finish_reason = answer.finish_reason
        self.turns = [*self.turns, {"role": "assistant", "content": answer.text}]

    async def _user(self, draft: Draft | None) -> str:
        """The user's next message. Raises Rejection for an unusable one."""
        if self._step.user_by == "query":
            described = self._described() if self._persona or self._goal else ""
            system: list[Message] = [{"role": "system", "content": described}] if described else self._system
            least = self._step.min_logprob
            said = await self._llm.query(system + self.turns, self._step.user, draft=draft, logprob=least is not None)
            text, shown = said.text, [described]
            if least is not None and said.logprob is not None and said.logprob < least:
                raise Rejection("incoherent_turn", f"a mean log-probability of {said.logprob:.2f}")
        else:
            said, shown = await self._asked()
            text = str((json_object(said.text, "message") or {}).get("message") or "").strip()
        if said.finish_reason != "stop":
            raise Rejection(REPETITION if said.finish_reason == REPETITION else "truncated_turn", text)
        if not text:
            raise Rejection("empty_turn", said.text)
        if speaks_as_assistant(text):
            raise Rejection("assistant_voice", text)
        self._refuse_repetition(text)
        if is_copy(text, shown):
            raise Rejection("copies_prompt", text)
        return text

    async def _asked(self) -> tuple[Completion, list[str]]:
        """The answer of a model that is asked for the user's message, and texts of the prompt that are no message."""
        asked = self._prompt(Example(self._persona, self._goal, self.turns, ""))
        alike = [example for example in EXAMPLES if bool(example.turns) == bool(self.turns)]
        messages = few_shot([(self._prompt(example), {"message": example.message}) for example in alike], asked)
        answer = await self._llm.chat(messages, self._step.user, json_schema=_FORM)
        return answer, [*(example.message for example in alike), self._prompt(Example(None, None, [], ""))]

    def _prompt(self, one: Example) -> str:
        return render("converse_user", persona=one.persona, goal=one.goal, turns=[as_line(turn) for turn in one.turns])

    def _described(self) -> str:
        return render("converse_user_system", persona=self._persona, goal=self._goal)

    def _refuse_repetition(self, text: str) -> None:
        """Raises Rejection for a message that says what an earlier one has said."""
        said = [turn["content"] for turn in self.turns]
        if any(same_words(text, one) for one in said) or is_copy(text, said):
            raise Rejection("repeats_turn", text)

    async def _is_met(self, goal: str) -> bool:
        asked = render("converse_goal", goal=goal, turns=[as_line(turn) for turn in self.turns])
        answer = await self._llm.chat(asked, self._step.verdict, choice=("Yes", "No"))
        self.goal_met = is_yes(answer.text)
        if self.goal_met is None:
            raise Rejection("no_verdict", answer.text)
        return self.goal_met

    def _draft(self, role: str) -> Draft:
        complete = list(self.turns)

        def draft(text: str) -> Record:
            messages = self._system + complete + [{"role": role, "content": text}]
            return self._record | first_turn(messages) | {"messages": messages, "finish_reason": None}

        return draft
