"""Rejects texts that are too short or too long."""

from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.errors import reason
from synth.models.files import is_hub_name, missing_model
from synth.models.model import Model
from synth.quality.loaded import Loaded
from synth.quality.text_filter import TextFilter
from synth.quality.texts import beginnings, texts
from synth.records import Needs, Record, Rejection

Unit = Literal["characters", "words", "lines", "tokens"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Length(TextFilter):
    """Keeps a record if each text in `column` has from `min` to `max` units, inclusive.

    Words are separated by white space: use characters for languages without. Empty lines count, except at the ends.
    Tokens are those of `tokenizer`, a folder or a name on the Hub. A record with one of the values listed for a column
    in `unless` is kept whatever its length.

    Rejections: `too_short`, `too_long`, `no_COLUMN`.
    """

    unit: Unit = "words"
    min: Annotated[int, Field(ge=1)] | None = None
    max: Annotated[int, Field(ge=1)] | None = None
    tokenizer: str | None = None
    unless: dict[str, list[Any]] = field(default_factory=dict)

    reasons: ClassVar[tuple[str, ...]] = ("too_short", "too_long")

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("min, max: set at least one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: is {self.min}, above max, {self.max}")
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise ValueError("tokenizer: only for unit=tokens")

    def needs(self) -> list[Needs]:
        return [*super().needs(), *((name,) for name in self.unless)]

    def missing(self) -> str | None:
        """The tokenizer, if it does not load. Loading takes a second, and nothing else shows what is wrong with it."""
        if self.tokenizer is None:
            return None
        path = Model(path=self.tokenizer).path
        if is_hub_name(path):
            return None
        if problem := missing_model(path, weights=False, config=False):
            return f"tokenizer: {problem}"
        try:
            self._load_tokenizer()
        except Exception as error:  # of many libraries
            return f"tokenizer: the tokenizer of {self.tokenizer!r} can't be loaded: {reason(error)}"
        return None

    async def __call__(self, record: Record, llm: Any) -> Record:
        if self._excuses(record):
            return record
        for text in texts(record, self.column):
            length = await self._length(text)
            if self.min is not None and length < self.min:
                raise Rejection("too_short", f"{length} {self.unit} of {self.column}")
            if self.max is not None and length > self.max:
                raise Rejection("too_long", f"{length} {self.unit} of {self.column}")
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """For a text that is already too long; a few more tokens may still reduce the number of these."""
        if self.max is None or self.unit == "tokens" or self._excuses(record):
            return None
        for text in beginnings(record, self.column):
            if (length := self._count(text)) > self.max:
                return Rejection("too_long", f"{length} {self.unit} of {self.column} so far")
        return None

    def _excuses(self, record: Record) -> bool:
        return any(record.get(name) in values for name, values in self.unless.items())

    async def _length(self, text: str) -> int:
        if self.unit != "tokens":
            return self._count(text)
        tokenizer = await self._loaded.get()
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    def _count(self, text: str) -> int:
        if self.unit == "characters":
            return len(text)
        return len(text.split()) if self.unit == "words" else text.strip().count("\n") + 1

    @cached_property
    def _loaded(self) -> Loaded[Any]:
        return Loaded(f"the tokenizer {self.tokenizer}", self._load_tokenizer)

    def _load_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(Model(path=str(self.tokenizer)).path)
