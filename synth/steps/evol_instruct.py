"""Evol-Instruct (arXiv 2304.12244): rewrites an instruction, round by round, into harder and rarer ones.

Each round draws one operation by weight, of five in depth and one in breadth (section 3.1), and checks whether the
result is a failure (section 3.2, synth/steps/eliminations.py). After a failed round the instruction is unchanged in the
next one, and the lineage has the reason. `target: response` evolves the response instead (Evol-Quality, in arXiv
2312.15685).

Records are independent: one may be in its fourth round while another is in its first.
"""

from collections.abc import Sequence
from dataclasses import asdict, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.engines.repetition import REPETITION
from synth.messages import Message, as_line
from synth.quality.refusal import refusal
from synth.records import Needs, Record, Rejection, text_of
from synth.steps.copies import is_copy
from synth.steps.eliminations import is_empty_words, is_response, judged_equal, leaks, same_words
from synth.steps.evol_examples import EXAMPLES
from synth.steps.few_shot import few_shot
from synth.steps.last_turn import put_back, take_out
from synth.steps.llm import LLM, Branch
from synth.steps.prompts import render
from synth.steps.remarks import without_remarks

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Elimination = Literal["no_gain", "refusal", "empty_words", "leaked", "answered"]
ELIMINATIONS: tuple[Elimination, ...] = ("no_gain", "refusal", "empty_words", "leaked", "answered")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Operations:
    """Weights of the operations. They need not sum to 1; 0 switches one off.

    The names are those of the prompts, `evolve_NAME.jinja`; all but `breadth` are in depth.
    """

    constraints: Weight = 1.0
    deepen: Weight = 1.0
    concretize: Weight = 1.0
    reasoning: Weight = 1.0
    complicate_input: Weight = 1.0
    breadth: Weight = 1.0


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EvolInstruct:
    """Evolves a record's `instruction`, or its `response`, in so many `rounds`.

    `store` every: each successful round becomes a row, whose lineage ends with it; last: one row per record. `answers`
    sets which rows get a response: the last, every one, or none. The eliminations `refusal` and `empty_words` check the
    response, so with one of these every round is answered, and its answer is the row's response. Null `eliminate` is
    every elimination for which there are answers.

    A record without a successful round is rejected as `not_evolved`, or with `keep_unevolved` kept unchanged. A record
    whose instruction is missing, null or blank is rejected as `no_instruction`. With a sampling in `draw`, an empty
    record (source=none) gets its first instruction from the model, drawn as in Magpie.

    `turn` is the turn of a conversation that is evolved. Of the first one, later turns are dropped. The last one is
    evolved as a message in its conversation, which the prompt shows and the answer continues; turns after it, such as
    its old answer, are dropped.
    """

    rounds: Annotated[int, Field(ge=1)] = 4
    target: Literal["instruction", "response"] = "instruction"
    turn: Literal["first", "last"] = "first"
    operations: Operations = field(default_factory=Operations)
    store: Literal["last", "every"] = "last"
    answers: Literal["last", "every", "none"] = "last"
    eliminate: list[Elimination] | None = None
    keep_unevolved: bool = False
    draw: Sampling | None = None
    evolve: Sampling = field(default_factory=lambda: Sampling(temperature=0.7))
    judge: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=128))
    response: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048))

    columns: ClassVar[dict[str, str]] = {}
    rejections: ClassVar[tuple[str, ...]] = (
        "no_instruction",
        "truncated_instruction",
        "empty_instruction",
        "not_evolved",
        "empty_response",
        REPETITION,
    )

    def __post_init__(self) -> None:
        if not any(asdict(self.operations).values()):
            raise ValueError("operations: at least one weight must be above 0")
        needs_answers = sorted({"refusal", "empty_words"} & set(self.eliminate or ()))
        if self.target == "instruction" and self.answers == "none" and needs_answers:
            raise ValueError(f"eliminate: {needs_answers[0]} checks answers, and answers=none makes none")

    @property
    def _eliminated(self) -> set[str]:
        if self.eliminate is not None:
            return set(self.eliminate)
        unanswered = self.target == "instruction" and self.answers == "none"
        return {"no_gain", "leaked", "answered"} if unanswered else set(ELIMINATIONS)

    @property
    def _answers_rounds(self) -> bool:
        every = self.store == "every" and self.answers == "every"
        return every or not self._eliminated.isdisjoint(("refusal", "empty_words"))

    def needs(self) -> list[Needs]:
        if self.draw:
            return []
        return [
            {"instruction": "text"} if self.turn == "first" else {"instruction": "text", "messages": "conversation"}
        ]

    @property
    def num_outputs(self) -> int:
        return self.rounds if self.store == "every" else 1

    def calls(self) -> list[Sampling]:
        """The most engine calls of one record: each round fails at its last check."""
        drawn = [self.draw] if self.draw else []
        if self.target == "response":
            return [*drawn, self.response, *[self.evolve] * self.rounds]
        one_round = [self.evolve]
        one_round += [self.judge] if "no_gain" in self._eliminated else []
        one_round += [self.response] if self._answers_rounds else []
        answers_end = self.answers != "none" and (self.keep_unevolved or not self._answers_rounds)
        return drawn + one_round * self.rounds + [self.response] * answers_end

    @property
    def outline(self) -> list[str]:
        if self.target == "response":
            calls = ["evolve"]
        else:
            calls = ["evolve", *["judge"] * ("no_gain" in self._eliminated), *["respond"] * self._answers_rounds]
        ends = f"a round may end in: {', '.join(sorted(self._eliminated))}" if self._eliminated else ""
        rounds = f"{self.rounds} rounds" if self.rounds > 1 else "1 round"
        return [f"{rounds}, each: {', '.join(calls)}", *([ends] if ends else [])]

    def as_user(self) -> list[Sampling]:
        return [self.draw] if self.draw else []

    async def __call__(self, record: Record, llm: LLM) -> Record | Rejection | list[Branch]:
        earlier, record = take_out(record) if self.turn == "last" else ([], record)
        try:
            rows = await self._evolved(record, earlier, llm)
        except Rejection as rejection:
            rejection.record = put_back(earlier, rejection.record or record)
            raise
        for at, one in enumerate(rows):
            if isinstance(one.outcome, Rejection):
                one.outcome.record = put_back(earlier, one.outcome.record or record)
            else:
                rows[at] = Branch(put_back(earlier, one.outcome), one.lineage)
        return rows[-1].outcome if self.store == "last" else rows

    async def _evolved(self, record: Record, earlier: Sequence[Message], llm: LLM) -> list[Branch]:
        """Each successful round. Raises Rejection if there is none."""
        now = await self._first(record, earlier, llm)
        rows: list[Branch] = []
        failures: list[str] = []
        for _ in range(self.rounds):
            operation = self._draw_operation(llm)
            try:
                now = await self._round(now, operation, earlier, llm)
            except Rejection as failure:
                failures.append(failure.reason)
                text = (failure.record or {}).get(self.target) or now[self.target]
                llm.note(text, f"eliminated: {failure.reason} ({operation})")
                continue
            llm.note(now[self.target], operation)
            rows.append(llm.branch(now))
        if len(failures) == self.rounds:
            if not self.keep_unevolved:
                raise Rejection("not_evolved", ", ".join(failures), record=now)
            rows = [llm.branch(now)]
        rows[-1] = llm.branch(await self._finished(now, earlier, llm))
        return [*(Branch(self._unanswered(row.outcome), row.lineage) for row in rows[:-1]), rows[-1]]

    async def _first(self, record: Record, earlier: Sequence[Message], llm: LLM) -> Record:
        """The record with the text that the first round starts from."""
        if self.draw and not record:
            drawn = await llm.query((), self.draw)
            llm.note(drawn.text, "drawn")
            record = {"instruction": drawn.text, "finish_reason": drawn.finish_reason}
            if drawn.finish_reason != "stop":
                looped = drawn.finish_reason == REPETITION
                raise Rejection(REPETITION if looped else "truncated_instruction", record=record)
            if not drawn.text:
                raise Rejection("empty_instruction", record=record)
        record |= {name: text_of(record, name) for name in ("response", "system_prompt") if name in record}
        instruction = record.get("instruction")
        if not isinstance(instruction, str) or not instruction.strip():
            there = ", ".join(name for name, value in record.items() if value is not None)
            raise Rejection("no_instruction", f"the record has {there}" if there else "")
        if self.target == "response" and not record.get("response"):
            record = await self._answered(record, earlier, llm)
            if not record["response"]:
                raise Rejection("empty_response", record=record)
        return record

    def _draw_operation(self, llm: LLM) -> str:
        if self.target == "response":
            return "response"
        weights: dict[str, float] = asdict(self.operations)
        return llm.rng.choices(list(weights), list(weights.values()))[0]

    async def _round(self, now: Record, operation: str, earlier: Sequence[Message], llm: LLM) -> Record:
        """The evolved record. Raises Rejection if the round fails; the record itself is not rejected."""
        before, prompt = now[self.target], f"evolve_{operation}"
        said = [message for message in earlier if message["role"] != "system"]
        asked = render(prompt, instruction=now["instruction"], response=now.get("response"))
        if said:
            asked = render("evolve_in_conversation", turns=[as_line(message) for message in said], request=asked)
        texts = [message["content"] for message in said]
        evolved = await llm.chat(few_shot(_shown(operation, prompt), asked), self.evolve)
        text = without_remarks(evolved.text, before)
        after = now | {self.target: text, "finish_reason": evolved.finish_reason, "messages": None}
        if self.target == "instruction":
            after["response"] = None
        if evolved.finish_reason != "stop":
            raise Rejection(REPETITION if evolved.finish_reason == REPETITION else "truncated", record=after)
        if not text:
            raise Rejection("empty")
        if "leaked" in self._eliminated and (leaks(text, before, operation) or is_copy(text, texts)):
            raise Rejection("leaked", record=after)
        if "answered" in self._eliminated and self.target == "instruction" and is_response(text, before):
            raise Rejection("answered", record=after)
        if "no_gain" in self._eliminated and (failure := await self._without_gain(before, text, llm)):
            raise Rejection(failure, record=after)
        if self.target == "instruction" and self._answers_rounds:
            after = await self._answered(after, earlier, llm)
        self._check_answer(after)
        return after

    async def _without_gain(self, before: str, after: str, llm: LLM) -> Literal["no_gain", "no_verdict"] | None:
        if same_words(after, before):
            return "no_gain"
        if self.target == "response":  # the judge's prompt is about instructions
            return None
        asked = render("evolve_equal", first=before, second=after)
        verdict = await llm.chat(asked, self.judge, choice=("Equal", "Not equal"))
        equal = judged_equal(verdict.text)
        return "no_verdict" if equal is None else "no_gain" if equal else None

    def _check_answer(self, after: Record) -> None:
        response = after.get("response")
        if response is None:
            return
        if "refusal" in self._eliminated and refusal(response):
            raise Rejection("refusal", record=after)
        if "empty_words" in self._eliminated and is_empty_words(response):
            raise Rejection("empty_words", record=after)

    async def _answered(self, record: Record, earlier: Sequence[Message], llm: LLM) -> Record:
        system = record.get("system_prompt") or None
        asked = [*earlier, {"role": "user", "content": record["instruction"]}]
        answer = await llm.chat(asked, self.response, system=system)
        return record | {"response": answer.text, "finish_reason": answer.finish_reason, "messages": None}

    async def _finished(self, now: Record, earlier: Sequence[Message], llm: LLM) -> Record | Rejection:
        """The last row, with its response."""
        if self.target == "instruction" and self.answers == "none":
            return now
        if now.get("response") is None:
            now = await self._answered(now, earlier, llm)
        return now if now["response"] else Rejection("empty_response", record=now)

    def _unanswered(self, row: Record | Rejection) -> Record | Rejection:
        """A row before the last."""
        if not isinstance(row, dict) or self.target == "response":
            return row
        if self.answers != "every":
            return row | {"response": None, "finish_reason": "stop"}  # of the instruction
        return row if row.get("response") else Rejection("empty_response", record=row)


def _shown(operation: str, prompt: str) -> list[tuple[str, str]]:
    """The example of an operation, as prompt and answer."""
    if operation not in EXAMPLES:
        return []
    before, after = EXAMPLES[operation]
    return [(render(prompt, instruction=before, response=""), after)]
