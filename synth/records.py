"""A record: its id, its randomness, its usage and its columns.

Two promises: an id is a function of the record's number and its path through fan-outs, and a seed is a function of (run
seed, id, step, attempt) only. Hence a record is the same on any machine and in any order.

Knows nothing of engines, files or schedules.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import pyarrow as pa

Record = dict[str, Any]
CUT = ("length", "repetition")  # finish reasons of texts that did not end by themselves
# Alternative columns that a step can use, from its `needs()`; with their types, if these matter: text, texts (one, or a
# list), number, or conversation (a list of {role, content}, both text).
Needs = Sequence[str] | Mapping[str, Literal["text", "texts", "number", "conversation"]]
Place = tuple[int, ...]  # an id as numbers, which can be ordered: 17/2 is (17, 2)


class Rejection(Exception):
    """The end of a record, with the reason. A step may return it or raise it.

    `reason` is a short constant, by which rejections are counted; `detail` is for people. `record` is the record at
    that point, if it is more than what the step was given.
    """

    def __init__(self, reason: str, detail: str = "", record: Record | None = None):
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.record = record


@dataclass(slots=True)
class Usage:
    """Tokens of a record so far. `prompt_tokens` includes `cached_tokens`."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
        )


class Spent(NamedTuple):
    """Usage of calls. `engine_seconds` are their share of the engine's time; they are in no row, since they differ from
    run to run."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":  # type: ignore[override]
        return Spent._make(one + another for one, another in zip(self, other, strict=True))


def add_spent(total: dict[str, Spent], more: Mapping[str, Spent]) -> None:
    """By step."""
    for step, spent in more.items():
        total[step] = total.get(step, Spent()) + spent


@dataclass(frozen=True, slots=True)
class Shard:
    """Records `start` to `stop` - 1: the unit that is leased, committed and merged."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Slice:
    """Slice `number`, from 0, of a run in `of` slices: every `of`-th shard, all of one size."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Slice":
        """From `3/8`. Raises ValueError."""
        number, slash, of = str(text).partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and int(of)):
            raise ValueError("must be like 0/8, the first slice of eight")
        if int(number) >= int(of):
            raise ValueError(f"must be from 0/{of} to {int(of) - 1}/{of}")
        return cls(int(number), int(of))

    @classmethod
    def all_of(cls, some: Iterable["Slice"]) -> "list[Slice]":
        """All slices of the runs of these slices, in order, including those that have not begun."""
        return [cls(number, of) for of in sorted({one.of for one in some}) for number in range(of)]

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def count(self, records: int, shard_size: int) -> int:
        """How many of the first `records` records are in this slice."""
        rounds, rest = divmod(records, shard_size * self.of)
        return rounds * shard_size + min(max(0, rest - self.number * shard_size), shard_size)


@dataclass(frozen=True, slots=True)
class DedupKey:
    """The dedup key of a record, or a branch of it, at a dedup step."""

    step: str
    place: Place
    key: bytes


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A duplicate of a lower record; covers every row whose id begins with its own."""

    step: str
    reason: str
    place: Place
    like: Place

    def covers(self, place: Place) -> bool:
        return place[: len(self.place)] == self.place

    @property
    def rejection(self) -> Rejection:
        return Rejection(self.reason, f"like {as_id(self.like)}")


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of one record: its rows (several with fan-out), rejected rows, dedup keys, and the usage of each row,
    by id and step.

    `kept` rows have the columns of `dataset_schema`; `rejected` rows those of `rejected_schema`. A record is finished
    as a whole: this is the unit of the journal. `decided` is the number of first records whose pool decisions it used.
    `made_by` is the fingerprint of its configuration; empty: the current one.
    """

    number: int
    kept: list[Record] = field(default_factory=list)
    rejected: list[Record] = field(default_factory=list)
    claims: list[DedupKey] = field(default_factory=list)
    spent: dict[str, dict[str, Spent]] = field(default_factory=dict)
    decided: int = 0
    made_by: str = ""


def record_id(number: int, path: tuple[int, ...] = ()) -> str:
    """`17`, or `17/2` for the third record of a fan-out, `17/2/0` after another one."""
    return as_id((number, *path))


def as_id(place: Place) -> str:
    return "/".join(map(str, place))


def as_place(id: str) -> Place:
    return tuple(map(int, id.split("/")))


def text_of(record: Record, name: str) -> str | None:
    """The text in a column; None for other types, which a source may have."""
    value = record.get(name)
    return value if isinstance(value, str) else None


def derive_seed(seed: int, *parts: int | str) -> int:
    """A 63-bit seed that depends on every part, their order and their number.

    A cryptographic hash, because Python's `hash` of a string differs from process to process.
    """
    digest = hashlib.blake2b(repr((seed, *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


_OF_A_MESSAGE = ("role", "content")
_THOUGHTS = {"reasoning_content", "thinking"}  # the fields of a message in which chat templates look for reasoning
_MESSAGES = pa.list_(pa.struct([(name, pa.string()) for name in _OF_A_MESSAGE]))
# In OpenAI's format. Arguments of tools differ in type, and a column has one type: `arguments` are JSON strings.
_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_TOOL_CALLS = pa.list_(pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)]))
_OF_TOOLS = {"tool_calls": _TOOL_CALLS, "tool_call_id": pa.string(), "name": pa.string()}
TOOLS = pa.field("tools", pa.string())  # the column of a record's specifications: a JSON list, as a string
_JSON = {"ARROW:extension:name": "arrow.json", "ARROW:extension:metadata": ""}
_LINEAGE = pa.list_(pa.struct([(name, pa.string()) for name in ("step", "text", "operation", "model")]))
_USAGE = pa.struct([(name, pa.int64()) for name in asdict(Usage())])

SPENT = pa.struct(
    [
        ("id", pa.string()),
        ("step", pa.string()),
        *((name, pa.float64() if name == "engine_seconds" else pa.int64()) for name in Spent._fields),
    ]
)
CLAIM = pa.struct([("step", pa.string()), ("place", pa.list_(pa.int64())), ("key", pa.binary())])

CONTRACT_COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "messages": _MESSAGES,
    "instruction": pa.string(),
    "response": pa.string(),
    "system_prompt": pa.string(),
    "strategy": pa.string(),
    "model": pa.string(),
    "seed": pa.int64(),
    "lineage": _LINEAGE,
    "usage": _USAGE,
    "finish_reason": pa.string(),
}


def messages_with(thoughts: Iterable[str], *, tool_calls: bool = False) -> pa.DataType:
    """The type of `messages` with reasoning of the assistant in fields of these names, and with tool calls."""
    texts = [(name, pa.string()) for name in (*_OF_A_MESSAGE, *sorted(thoughts))]
    return pa.list_(pa.struct([*texts, *(_OF_TOOLS.items() if tool_calls else ())]))


def thoughts_in(kind: pa.DataType) -> list[str]:
    """The names of the fields with reasoning in a column's type."""
    thoughts = _fields_of(kind) - set(_OF_A_MESSAGE) - _OF_TOOLS.keys()
    same = kind == messages_with(thoughts, tool_calls=has_tool_calls(kind))
    return sorted(thoughts) if same and thoughts <= _THOUGHTS else []


def has_tool_calls(kind: pa.DataType) -> bool:
    """Whether a column's type has fields for tool calls."""
    return _OF_TOOLS.keys() <= _fields_of(kind)


def _fields_of(kind: pa.DataType) -> set[str]:
    of_structs = pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)
    return {field.name for field in kind.value_type} if of_structs else set()


def as_read(schema: pa.Schema) -> pa.Schema:
    """The schema for writing a dataset with tool calls, by which datasets (and TRL) decode JSON strings to objects:
    most chat templates accept only objects as arguments."""
    if not has_tool_calls(schema.field("messages").type):
        return schema
    return pa.schema([_marked(field, {TOOLS.name, "messages"}) for field in schema], schema.metadata)


def _marked(field: pa.Field, inside: Collection[str]) -> pa.Field:
    kind = field.type
    if field.name not in inside:
        return field
    if field.name in (TOOLS.name, "arguments") and kind == pa.string():
        return field.with_metadata(_JSON)
    inner = {"tool_calls", "function", "arguments"}
    if pa.types.is_list(kind):
        struct = pa.struct([_marked(one, inner) for one in kind.value_type])
        return field.with_type(pa.list_(kind.value_field.with_type(struct)))
    if pa.types.is_struct(kind):
        return field.with_type(pa.struct([_marked(one, inner) for one in kind]))
    return field


def dataset_schema(added: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """The columns of every dataset, in order, then those of the steps. `messages` may be a `messages_with` type."""
    return pa.schema(list({**CONTRACT_COLUMNS, **(added or {})}.items()))


def rejected_schema(added: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """The columns of a rejected row: the record so far, then the step that rejected it and why."""
    ends = {"rejected_by": pa.string(), "reason": pa.string(), "detail": pa.string()}
    return pa.schema(list({**CONTRACT_COLUMNS, **(added or {}), **ends}.items()))
