"""What filters of a column's texts say alike of themselves: what they read, what they ask, why they may reject."""

from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.quality.texts import columns_of, missing
from synth.records import Needs


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TextFilter:
    """Looks at the texts of `column` and changes nothing. `reasons` are its own; `no_COLUMN` is every filter's."""

    column: str = "response"

    reasons: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[dict[str, str]] = {}
    is_filter: ClassVar[bool] = True

    @property
    def rejections(self) -> tuple[str, ...]:
        return (*self.reasons, missing(self.column))

    def needs(self) -> list[Needs]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []
