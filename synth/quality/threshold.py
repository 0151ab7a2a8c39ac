"""Keeps records by a column that another step wrote: a score, a reward, a label.

For a judge's `judge_score`, a reward model's `reward`, the tags `quality`, `difficulty`, `task_category` and
`language`, or a column of the source or of a user's step.
"""

import math
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality.texts import missing
from synth.records import Needs, Record, Rejection


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Threshold:
    """Keeps a record if its `column` has a number from `min` to `max`, inclusive, or a value of `among`.

    Rejections: `low_COLUMN`, `high_COLUMN`; `other_COLUMN` for a value that is not in `among`, or is in `without`. Null
    or NaN is rejected as `no_COLUMN`, unless `on_null` keeps it. A value that should be a number and is none is always
    `no_COLUMN`.
    """

    column: str
    min: Annotated[float, Field(allow_inf_nan=False)] | None = None
    max: Annotated[float, Field(allow_inf_nan=False)] | None = None
    among: list[Any] = field(default_factory=list)
    without: list[Any] = field(default_factory=list)
    on_null: Literal["reject", "keep"] = "reject"

    columns: ClassVar[dict[str, str]] = {}
    is_filter: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self._numeric and not self.among and not self.without:
            raise ValueError("min, max, among, without: set at least one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: is {self.min:g}, above max, {self.max:g}")

    @property
    def rejections(self) -> tuple[str, ...]:
        reasons = {"low": self.min is not None, "high": self.max is not None, "other": self.among or self.without}
        return (*(f"{word}_{self.column}" for word, given in reasons.items() if given), missing(self.column))

    def needs(self) -> list[Needs]:
        return [{self.column: "number"} if self._numeric and self.on_null == "reject" else (self.column,)]

    def calls(self) -> list[Any]:
        return []

    def __call__(self, record: Record, llm: Any) -> Record:
        value = record.get(self.column)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            if self.on_null == "keep":
                return record
            raise Rejection(missing(self.column))
        if (self.among and value not in self.among) or value in self.without:
            raise Rejection(f"other_{self.column}", str(value))
        if self._numeric:
            if not isinstance(value, int | float):
                raise Rejection(missing(self.column), f"{value!r} is not a number")
            if self.min is not None and value < self.min:
                raise Rejection(f"low_{self.column}", f"{value:g}")
            if self.max is not None and value > self.max:
                raise Rejection(f"high_{self.column}", f"{value:g}")
        return record

    @property
    def _numeric(self) -> bool:
        return self.min is not None or self.max is not None
