"""A source on the Hugging Face Hub, by name; cached files are used, also offline."""

from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.errors import ConfigError, reason
from synth.records import Record
from synth.sources import Bad, BadRow, Renamed, tables


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Hub:
    """`subset` is a configuration of the Hub. With `streaming`, files are not kept in the cache."""

    name: str
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    streaming: bool = False
    columns: Renamed = field(default_factory=dict)
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    bad_rows: Literal["stop", "set_aside"] = "stop"

    def __str__(self) -> str:
        return f"{self.name} ({self.split})"

    def stamp(self) -> list[Any]:
        """The parameters: a resumed run continues with the rows that it has stored."""
        return [self.name, self.subset, self.split, self.revision]

    def read(self) -> Iterator[Record | BadRow]:
        from datasets import load_dataset

        try:
            data = load_dataset(
                self.name, self.subset, split=self.split, revision=self.revision, streaming=self.streaming
            )
            for number, row in tables.dataset(data):
                yield BadRow(self.name, number, str(row)) if isinstance(row, Bad) else row
        except Exception as error:  # many kinds, from three libraries and the network
            raise ConfigError(f"source.name: {self.name!r} can't be loaded from the Hub: {reason(error)}") from None
