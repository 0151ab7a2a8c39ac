"""The index of a published dataset, `published.json` beside its card: of which run it is, and which file has which
rows.

The destination's index is what counts: after a kill between an upload and any note of it, the next start reads there
what has arrived. The run's folder only has the run's name (`publishing.json`), by which it knows its own datasets.

An index comes from outside: it names no paths, and whatever is not as expected is damage.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synth.publishing.layout import Position, PublishedFile
from synth.storage.run_folder import RunFolder
from synth.storage.sealed import read_sealed, write_sealed

INDEX = "published.json"
_Count = Annotated[int, Field(ge=0, le=10**12)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    start: tuple[_Count, _Count]
    end: tuple[_Count, _Count]
    rows: _Count
    made_of: str
    sha256: str


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    version: Literal[1]
    run: str
    rows: _Count
    files: list[_File]


@dataclass(frozen=True)
class Index:
    """The files in the order of their rows. `run` is the name of the run that they are of."""

    run: str
    files: Sequence[PublishedFile] = field(default_factory=tuple)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def as_bytes(self) -> bytes:
        files = [
            {
                "name": file.name,
                "start": list(file.start),
                "end": list(file.end),
                "rows": file.rows,
                "made_of": file.made_of,
                "sha256": file.sha256,
            }
            for file in self.files
        ]
        lines = ",\n    ".join(json.dumps(file) for file in files)
        head = f'"version": 1,\n  "run": {json.dumps(self.run)},\n  "rows": {self.rows}'
        return f'{{\n  {head},\n  "files": [\n    {lines}\n  ]\n}}\n'.encode()

    @classmethod
    def parse(cls, content: bytes) -> "Index":
        """Raises ValueError."""
        try:
            found = _Index.model_validate_json(content)
        except ValidationError:
            raise ValueError("is no index of published rows") from None
        files = [
            PublishedFile(Position(*file.start), Position(*file.end), file.rows, file.made_of, file.sha256)
            for file in found.files
        ]
        starts = [file.start for file in files]
        names = [file.name for file in files]
        if sorted(set(starts)) != starts or names != [file.name for file in found.files]:
            raise ValueError("is no index of published rows")
        return cls(found.run, tuple(files))


@dataclass
class RunName:
    """What a run calls itself where it publishes, and the destinations where it has begun. Kept in its folder."""

    name: str
    begun: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: RunFolder) -> "RunName":
        """A new one if the run has not published yet. Raises Damaged and OSError."""
        try:
            content = read_sealed(folder.publishing)
        except FileNotFoundError:
            return cls(secrets.token_hex(8))
        return cls(str(content["run"]), [str(one) for one in content["begun"]])

    def begin(self, folder: RunFolder, destination: str) -> bool:
        """On disk before anything is at the destination. Returns whether that is new. Raises OSError."""
        if destination in self.begun:
            return False
        self.begun.append(destination)
        write_sealed(folder.publishing, {"run": self.name, "begun": self.begun})
        return True

    def withdraw(self, folder: RunFolder, destination: str) -> None:
        """Nothing has come to the destination. Raises OSError."""
        self.begun.remove(destination)
        if self.begun:
            write_sealed(folder.publishing, {"run": self.name, "begun": self.begun})
        else:
            folder.publishing.unlink(missing_ok=True)
