"""A source of batch files: each line is a record with the messages and the sampling of its request.

A line that can't be answered is a record with the error in the column `refused`: a line that is no JSON, a custom_id
that an earlier line has, a key that is not supported, another model. So every line has its number, and every number a
result. Blank lines are no requests.

Promises: memory is 8 bytes per line, for custom_ids. A file in which no line can be answered is refused as a whole.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.batch.body import chat_request, text_request
from synth.batch.custom_ids import CustomIds
from synth.batch.refused import Refused
from synth.components.lists import as_list
from synth.errors import ConfigError, nearest
from synth.records import Record
from synth.sources import Bad
from synth.sources.files import Files

READERS = {"/v1/chat/completions": chat_request, "/v1/completions": text_request}  # by URL
PIECE = 1024  # lines
_KEYS = ("custom_id", "method", "url", "body")


def _paths(given: Any) -> Any:
    return [] if given is None else as_list(given)


def _names(given: Any) -> Any:
    return given if given == "any" else [one for one in as_list(given) if one is not None]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class BatchFile:
    """`path` is a file of requests, a pattern, the URL of either in a store, or a list of these; files may be
    compressed by gzip.

    `models` are the names by which a request may call the run's model, or `any`: whatever name it has, the run's model
    answers. A request without a name is for the run's model. `limit` is for trying out the first lines.
    """

    path: Annotated[list[str], BeforeValidator(_paths)] = field(default_factory=list)
    models: Annotated[Literal["any"] | list[str], BeforeValidator(_names)] = "any"
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Literal[1] = 1  # a custom_id has one result

    def __str__(self) -> str:
        return ", ".join(self.path)

    @property
    def _files(self) -> Files:
        """Raises ConfigError if none is named."""
        if not self.path:
            raise ConfigError("source.path: is missing; name an OpenAI batch file, a request a line")
        return Files(path=self.path, format="jsonl")

    def stamp(self) -> list[Any]:
        """Path, size and modification time of each file, or its store's equivalent."""
        return self._files.stamp()

    def read(self) -> Iterator[Record]:
        """A record per line. Raises ConfigError if none can be answered."""
        ids, lines = CustomIds(), itertools.islice(self._files.rows(), self.limit)
        answerable, refused, others = False, 0, set[str]()
        first = ""
        piece = list(itertools.islice(lines, PIECE))
        while piece:
            records = [self._record(*one) for one in piece]
            _refuse_repeated(records, ids)
            for record in records:
                if "refused" not in record:
                    answerable = True
                elif not answerable:
                    refused += 1
                    first = first or f"line {record['line']}: {record['refused']['message']}"
                    others.add(record["refused"]["code"])
            piece = list(itertools.islice(lines, PIECE))
            if not piece and refused and not answerable:
                raise ConfigError(self._why_none(refused, first, others))
            yield from records

    def _why_none(self, count: int, first: str, codes: set[str]) -> str:
        if codes == {"model_not_found"}:
            return f"source.models: all {count:,} requests are for another model ({first}); set source.models=any"
        return f"source.path: none of the {count:,} lines of {self} is a request that can be answered; {first}"

    def _record(self, file: str, line: int, given: Record | Bad) -> Record:
        record: Record = {"custom_id": None, "line": line}
        try:
            if isinstance(given, Bad):
                raise Refused("invalid_json_line", f"{file}:{line}: {given}")
            if isinstance(given.get("custom_id"), str):
                record["custom_id"] = given["custom_id"]
            return record | self._request(given)
        except Refused as error:
            return record | {"refused": error.error}
        except RecursionError:
            return record | {"refused": Refused("invalid_value", "body: is nested too deeply", "body").error}

    def _request(self, given: Mapping[str, Any]) -> Record:
        for key in _KEYS:
            if given.get(key) in (None, ""):
                raise Refused("missing_required_parameter", f"{key}: is missing", key)
        for key in given:
            if key not in _KEYS:
                raise Refused("unknown_parameter", f"{key}: no such key of a line{nearest(key, _KEYS)}", key)
        if not isinstance(given["custom_id"], str):
            raise Refused("invalid_type", "custom_id: must be a text", "custom_id")
        if given["method"] != "POST":
            raise Refused("invalid_method", f"method: is {given['method']!r}, must be 'POST'", "method")
        read = READERS.get(given["url"]) if isinstance(given["url"], str) else None
        if read is None:
            raise Refused("invalid_url", f"url: {given['url']!r} is not supported, only {' and '.join(READERS)}", "url")
        body = given["body"]
        if not isinstance(body, Mapping):
            raise Refused("invalid_type", "body: must be an object", "body")
        self._refuse_other_model(body.get("model"))
        return read(body)

    def _refuse_other_model(self, name: Any) -> None:
        if name is None or self.models == "any" or name in self.models:
            return
        why = f"model: {name!r} is not the model of this run, {' or '.join(map(repr, self.models))}"
        raise Refused("model_not_found", why, "model")


def _refuse_repeated(records: list[Record], ids: CustomIds) -> None:
    """Mark records whose custom_id an earlier line has."""
    named = [record for record in records if record["custom_id"] is not None]
    for record, is_repeated in zip(named, ids.repeated([one["custom_id"] for one in named]), strict=True):
        if is_repeated:
            for key in ("messages", "tools", "prompt", "request"):
                record.pop(key, None)
            why = f"custom_id: an earlier line has {record['custom_id']!r} too"
            record["refused"] = Refused("duplicate_custom_id", why, "custom_id").error
