"""Labels instruction and response by the model: task category, quality, difficulty and language.

As in Magpie (arXiv 2406.08464, section 3), for filtering. The labels are those of synth/steps/prompts, or a user's own.
The shipped labels are shown in examples, as earlier turns: without them SmolLM2-135M called all of 40 instructions
"very poor" and "very easy".
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Sampling
from synth.errors import nearest
from synth.records import Needs, Record, Rejection, text_of
from synth.steps.few_shot import Message, few_shot
from synth.steps.json_answer import json_object
from synth.steps.llm import LLM
from synth.steps.prompts import LABELS, render

_EXAMPLES = (
    ('Translate "good morning" into French.', ("translation", "good", "very easy", "en")),
    ("thing the do of it", ("other", "very poor", "very hard", "en")),
    (
        "Schreibe eine Python-Funktion, die alle Primzahlen bis n findet, und erkläre ihre Laufzeit.",
        ("code", "excellent", "hard", "de"),
    ),
    ("Plan a week of dinners for a family.", ("planning", "average", "medium", "en")),
)


def _checked(given: Mapping[str, Sequence[str] | None]) -> dict[str, tuple[str, ...]]:
    labels = {}
    for name, values in given.items():
        if values is None and name not in LABELS:
            raise ValueError(f"{name}: give its labels, as none are shipped for it{nearest(name, LABELS)}")
        labels[name] = tuple(LABELS[name] if values is None else values)
        if len({_plain(label) for label in labels[name]} - {""}) < max(2, len(labels[name])):
            raise ValueError(f"{name}: needs at least two labels, all different and none empty")
    if not labels:
        raise ValueError("needs at least one name with its labels")
    return labels


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Tag:
    """Adds the columns `task_category`, `quality`, `difficulty` and `language`, each a label or null.

    `labels` are lists of labels by name, in place of the shipped ones: each name is a column (`category` fills
    `task_category`), and null stands for the shipped list of that name.

    Labels are for the instruction, and also for the response if there is one and `with_response` is set. A missing or
    unknown label is `truncated_tags` if max_tokens cut the answer, else `unparsable_tags`: `on_failure` rejects the
    record for it, or keeps it with null for that label. Also: `no_instruction`.
    """

    labels: Annotated[Mapping[str, Sequence[str] | None], AfterValidator(_checked)] = field(
        default_factory=lambda: dict(LABELS)
    )
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=128))
    with_response: bool = True
    on_failure: Literal["reject", "keep"] = "reject"

    rejections: ClassVar[tuple[str, ...]] = ("no_instruction", "truncated_tags", "unparsable_tags")

    @property
    def columns(self) -> dict[str, str]:
        return {_column(name): "string" for name in self.labels}

    @property
    def schema(self) -> dict[str, Any]:
        """The answer's JSON schema."""
        return {
            "type": "object",
            "properties": {
                name: {"type": "string", "enum": list(values or ())} for name, values in self.labels.items()
            },
            "required": list(self.labels),
            "additionalProperties": False,
        }

    def labels_of(self, column: str) -> Sequence[str] | None:
        """All values of a column; None if it may also be null."""
        found = {_column(name): values for name, values in self.labels.items()}
        return found[column] if self.on_failure == "reject" else None

    def needs(self) -> list[Needs]:
        return [{"instruction": "text"}]

    def calls(self) -> list[Sampling]:
        return [self.sampling]

    async def __call__(self, record: Record, llm: LLM) -> Record:
        if not text_of(record, "instruction"):
            raise Rejection("no_instruction")
        response = text_of(record, "response") or None if self.with_response else None
        answer = await llm.chat(self._asked(record["instruction"], response), self.sampling, json_schema=self.schema)
        found = json_object(answer.text, next(iter(self.labels))) or {}
        tagged = record | {_column(name): _label(found.get(name), values) for name, values in self.labels.items()}
        unread = [column for column in self.columns if tagged[column] is None]
        if unread and self.on_failure == "reject":
            reason = "truncated_tags" if answer.finish_reason != "stop" else "unparsable_tags"
            raise Rejection(reason, f"no readable label for {', '.join(unread)}", record=tagged)
        return tagged

    def _asked(self, instruction: str, response: str | None) -> list[Message]:
        """The turns of a conversation; only the first has the lists of labels."""
        shown = _EXAMPLES if all(LABELS.get(name) == values for name, values in self.labels.items()) else ()
        texts = [*((text, None) for text, _ in shown), (instruction, response)]
        *earlier, last = [
            render("tag_text" if at else "tag", instruction=text, response=answer, labels=self.labels)
            for at, (text, answer) in enumerate(texts)
        ]
        labels = (dict(zip(LABELS, given, strict=True)) for _, given in shown)
        answers = ({name: label[name] for name in self.labels} for label in labels)
        return few_shot(zip(earlier, answers, strict=True), last)


def _column(name: str) -> str:
    return "task_category" if name == "category" else name


def _label(value: Any, labels: Sequence[str] | None) -> str | None:
    """The label as spelled in its list, regardless of case and hyphens."""
    if not isinstance(value, str):
        return None
    return next((label for label in labels or () if _plain(label) == _plain(value)), None)


def _plain(label: str) -> str:
    return " ".join(label.replace("_", " ").replace("-", " ").lower().split())
