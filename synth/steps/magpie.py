"""Magpie (arXiv 2406.08464): instructions that an aligned model writes when given only the start of a user's turn.

The pre-query prompt comes from the model's own chat template (synth/chat), so any model with one will do.
Instruction and response are drawn with samplings of their own. A system prompt steers the topic; of several, one
is drawn per record by weight. `n_turns` goes on with the user's next words after each answer (the paper's
Magpie-MT).
"""

from dataclasses import field
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.records import Record, Rejection
from synth.steps.llm import LLM

Message = dict[str, str]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SystemPrompt:
    """A system prompt and how often it is drawn, relative to its neighbours: weights need not sum to 1."""

    text: str | None
    weight: Annotated[float, Field(ge=0)] = 1.0


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Magpie:
    """Draws a conversation of `n_turns` turns, each a user's message and an answer.

    `end_with_user` leaves the last user message unanswered; `only_instruction` asks for one user message and
    nothing else. With `keep_system_prompt` false the system prompt steers the user's words only: the answers and
    the rows know nothing of it.

    Rejects with `empty_instruction`, `truncated_instruction` (max_tokens cut it), `empty_response`, and
    `truncated_response` where a turn was to follow. A later turn that fails so ends the conversation before it,
    except that `end_with_user` then has nothing to end with and rejects.
    """

    instruction: Sampling = field(default_factory=Sampling)
    response: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))
    n_turns: Annotated[int, Field(ge=1)] = 1
    end_with_user: bool = False
    only_instruction: bool = False
    system_prompts: str | list[str | SystemPrompt] | None = None
    keep_system_prompt: bool = True

    def __post_init__(self) -> None:
        if self.only_instruction and self.n_turns > 1:
            raise ValueError("only_instruction draws one user message: it can't be combined with n_turns > 1")
        if self.only_instruction and self.end_with_user:
            raise ValueError("only_instruction already ends with the user: leave out end_with_user")
        if self._weighted_prompts() and not any(weight for _, weight in self._weighted_prompts()):
            raise ValueError("system_prompts: at least one weight must be above 0")

    def calls(self) -> list[Sampling]:
        """Every engine call of one record at the most."""
        if self.only_instruction:
            return [self.instruction]
        calls = [self.instruction, self.response] * self.n_turns
        return calls[:-1] if self.end_with_user else calls

    async def __call__(self, record: Record, llm: LLM) -> Record:
        system_prompt = self._draw_system_prompt(llm)
        system = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
        conversation = _Conversation(system, system if self.keep_system_prompt else [])
        try:
            await self._talk(conversation, llm)
        except Rejection:
            if self.end_with_user or not conversation.answers:
                raise
            conversation.drop_unanswered()
        turns = conversation.turns
        return record | {
            "messages": conversation.kept_system + turns,
            "instruction": turns[0]["content"],
            "response": turns[1]["content"] if len(turns) > 1 else None,
            "system_prompt": system_prompt if self.keep_system_prompt else None,
            "finish_reason": conversation.answers[-1] if conversation.answers else "stop",
        }

    async def _talk(self, conversation: "_Conversation", llm: LLM) -> None:
        """Turn by turn to the end. Raises Rejection where the conversation can't go on."""
        for turn in range(self.n_turns):
            last = turn == self.n_turns - 1
            query = await llm.query(conversation.system + conversation.turns, self.instruction)
            if query.finish_reason == "length":
                raise Rejection("truncated_instruction")
            if not query.text:
                raise Rejection("empty_instruction")
            conversation.turns.append({"role": "user", "content": query.text})
            if self.only_instruction or (last and self.end_with_user):
                return
            answer = await llm.chat(conversation.kept_system + conversation.turns, self.response)
            if not answer.text:
                raise Rejection("empty_response")
            conversation.turns.append({"role": "assistant", "content": answer.text})
            conversation.answers.append(answer.finish_reason)
            if answer.finish_reason == "length" and not last:
                raise Rejection("truncated_response")  # there is nothing to go on from

    def _weighted_prompts(self) -> list[tuple[str | None, float]]:
        prompts = [self.system_prompts] if isinstance(self.system_prompts, str) else self.system_prompts or []
        return [(one, 1.0) if isinstance(one, str) else (one.text, one.weight) for one in prompts]

    def _draw_system_prompt(self, llm: LLM) -> str | None:
        prompts = self._weighted_prompts()
        if not prompts:
            return None
        texts, weights = zip(*prompts, strict=True)
        return llm.rng.choices(texts, weights)[0]


@dataclass
class _Conversation:
    """What was said so far, and how each answer ended."""

    system: list[Message]
    kept_system: list[Message]
    turns: list[Message] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def drop_unanswered(self) -> None:
        del self.turns[2 * len(self.answers) :]
