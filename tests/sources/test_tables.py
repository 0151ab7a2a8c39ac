"""Rows out of columnar files, whatever types they have and whatever is damaged in them."""

import datetime
import decimal

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from synth.sources import BadRow
from synth.sources.row_lines import written
from tests.error_lines import check_line
from tests.sources.test_files import read, refusal


def raw(kind, *values):
    """An array of a type of fixed width, of numbers that need not be valid values of it."""
    numbers = np.array(values, dtype=f"int{kind.bit_width}")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(numbers.tobytes())])


def bad_utf8(kind=None):
    kind = kind or pa.string()
    data = pa.py_buffer(b"one\xff\xfetwo")
    offsets = np.array([0, 3, 5, 8], dtype="int64" if pa.types.is_large_string(kind) else "int32")
    return pa.Array.from_buffers(kind, 3, [None, pa.py_buffer(offsets.tobytes()), data])


def write(path, table):
    match path.suffix:
        case ".parquet":
            pa.parquet.write_table(table, path)
        case ".arrow":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        case ".stream":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        case _:
            datasets.Dataset(table).save_to_disk(path)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "saved"])
def test_bytes_that_are_no_utf8_are_one_bad_row(tmp_path, name):
    path = write(tmp_path / name, pa.table({"n": [1, 2, 3], "text": bad_utf8()}))
    bad = BadRow(str(path), 2, "the column 'text' is not UTF-8")
    assert read(path) == [{"n": 1, "text": "one"}, bad, {"n": 3, "text": "two"}]


@pytest.mark.parametrize(
    "column",
    [
        bad_utf8(pa.large_string()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), bad_utf8()),
        pa.StructArray.from_arrays([bad_utf8()], ["inner"]),
        pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), bad_utf8()),
    ],
    ids=lambda column: str(column.type),
)
def test_bytes_that_are_no_utf8_are_found_in_every_type(tmp_path, column):
    first, bad, last = read(write(tmp_path / "a.arrow", pa.table({"text": column})))
    assert bad.reason == "the column 'text' is not UTF-8"
    assert "one" in str(first) and "two" in str(last)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (raw(pa.date32(), -1_000_000), "-768-02-04"),
        (raw(pa.date64(), 86_400_000 * 3_000_000), "10183-09-21"),
        (raw(pa.timestamp("s"), 2**50), "35680317-09-25T18:57:04"),
        (raw(pa.timestamp("us", "Europe/Oslo"), 2**58), "11103-08-29T17:22:31.711744+00:00"),
        (raw(pa.timestamp("s", "Nowhere/City"), 2**30), "2004-01-10T13:37:04+00:00"),
        (raw(pa.duration("s"), 2**62), "4611686018427387904 seconds"),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
@pytest.mark.parametrize("nested", [False, True])
def test_times_that_python_has_not_are_texts(tmp_path, column, text, nested):
    if nested:
        column = pa.StructArray.from_arrays([pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), column)], ["in"])
    path = write(tmp_path / "a.arrow", pa.table({"when": column, "n": [1]}))
    assert read(path) == [{"when": {"in": [text]} if nested else text, "n": 1}]


def test_a_time_that_is_no_time_is_a_bad_row(tmp_path):
    path = write(tmp_path / "a.arrow", pa.table({"t": raw(pa.time64("us"), 5, 2**60)}))
    assert read(path)[0] == {"t": datetime.time(0, 0, 0, 5)}
    assert read(path)[1].reason.startswith("the column 't' can't be read: ")


def test_columns_of_one_name_are_refused(tmp_path):
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    struct = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])
    deep = pa.table({"s": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), struct)})
    for name in ("a.parquet", "a.arrow"):
        path = write(tmp_path / name, twice)
        check_line(refusal(path), f"source.path: {path}", "column 'a'", "twice")
        path = write(tmp_path / name, deep)
        check_line(refusal(path), f"source.path: {path}", "column 's'", "field 'x'", "twice")


MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": {"t": [3]}}, None]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "saved"])
def test_json_columns_arrive_as_datasets_gives_them(tmp_path, name):
    features = datasets.Features(
        {
            "meta": datasets.Json(),
            "messages": datasets.List(datasets.Json()),
            "deep": {"a": datasets.Json(), "b": datasets.Value("string")},
        }
    )
    rows = [
        {"meta": {"k": 1}, "messages": MESSAGES, "deep": {"a": [1, None], "b": "{}"}},
        {"meta": None, "messages": None, "deep": {"a": "text", "b": None}},
        {"meta": 5, "messages": [], "deep": None},
    ]
    data = datasets.Dataset.from_list(rows, features=features)
    path = tmp_path / name
    if name == "a.parquet":
        data.to_parquet(path)
    elif name == "saved":
        data.save_to_disk(path)
    else:
        write(path, data.data.table)
    assert read(path) == [data[index] for index in range(3)]


def test_json_that_is_none_is_a_bad_row(tmp_path):
    path = write(tmp_path / "a.arrow", pa.table({"meta": pa.array(["{", "1"], pa.json_())}))
    bad, good = read(path)
    assert good == {"meta": 1} and bad.reason.startswith("the column 'meta' has JSON that can't be read: ")


def test_every_type_has_a_place_in_a_row(tmp_path):
    kinds = {
        "half": pa.array(np.array([1.5], dtype=np.float16)),
        "decimal": pa.array([decimal.Decimal("1.50")]),
        "duration": pa.array([datetime.timedelta(days=1)]),
        "nanoseconds": raw(pa.timestamp("ns", "UTC"), 1_234_567_891_123_456_789),
        "dictionary": pa.array(["a"]).dictionary_encode(),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
        "nested": pa.array(
            [[{"m": [("k", [1])]}]], pa.list_(pa.struct({"m": pa.map_(pa.string(), pa.list_(pa.int8()))}))
        ),
        "view": pa.array(["a" * 20], pa.string_view()),
        "list_view": pa.array([[1]], pa.list_view(pa.int8())),
        "large": pa.array([["a"]], pa.large_list(pa.large_string())),
        "uuid": pa.array([b"0" * 16], pa.uuid()),
        "bytes": pa.array([b"\xff"]),
        "null": pa.nulls(1),
        "union": pa.UnionArray.from_sparse(pa.array([1], pa.int8()), [pa.array([1]), pa.array(["b"])]),
        "runs": pa.RunEndEncodedArray.from_arrays([1], ["a"]),
        "interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        "nan": pa.array([float("nan")]),
        "unsigned": pa.array([2**64 - 1], pa.uint64()),
    }
    (row,) = read(write(tmp_path / "a.arrow", pa.table(kinds)))
    assert row["map"] == [("a", 1)] and row["nested"] == [{"m": [("k", [1])]}] and row["dictionary"] == "a"
    _, line = written(row, {})
    assert b'"decimal": "1.50"' in line and b'"nanoseconds": "2009-02-13T23:31:31.123' in line


def test_a_damaged_file_ends_in_rows_bad_rows_or_one_line(tmp_path):
    words = pa.array(["one", "two", "three"] * 100)
    path = write(tmp_path / "a.arrow", pa.table({"text": words}))
    whole = path.read_bytes()
    offsets = whole.index(np.array([0, 3, 6, 11], dtype="int32").tobytes())
    path.write_bytes(whole[:offsets] + b"\xff" * 8 + whole[offsets + 8 :])
    rows = read(path)
    assert [type(row) for row in rows[:3]] == [BadRow, BadRow, dict]
    assert [row["text"] for row in rows[2:]] == words.to_pylist()[2:]
