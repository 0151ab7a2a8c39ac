"""Whatever a file holds, reading it ends in rows, in bad rows, or in one line that names it."""

import csv
import gzip
import io
import json
import os
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth.errors import ConfigError
from synth.sources import BadRow
from synth.sources.files import Files
from synth.sources.row_lines import written

# A few thousands by hand, as SYNTH_FUZZ=5000 pytest tests/sources/test_fuzz.py; few with all other tests.
FEW = settings(
    max_examples=int(os.environ.get("SYNTH_FUZZ", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXT = ["jsonl", "json", "csv", "tsv"]
TABLES = ["parquet", "arrow", "stream", "feather"]


def ends(path, **keys):
    """The rows that are read, after a look at whether a run can take each; None where the file is refused."""
    source = Files(path=str(path), bad_rows="set_aside", **keys)
    try:
        source.stamp()
        found = list(source.read())
    except ConfigError as error:
        assert str(error).startswith("source.") and "\n" not in str(error) and str(path) in str(error)
        return None
    for row in found:
        assert isinstance(row, BadRow) or isinstance(written(row, {}), tuple)
    return found


def saved(folder, name, data):
    path = Path(folder) / name
    path.write_bytes(data)
    return path


SIGNS = [one.encode() for one in "{}[]\"',;\t:\\\n\r\0 a1"]
WORDS = [
    b'{"a": 1}',
    b'{"a": {"a": [1]}}',
    b'"a"',
    b"NaN",
    b"1e999",
    b"null",
    b"sep=;\n",
    b"a,b\n",
    b"\\ud800",
    b"\\u0000",
]
ODD = [b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", "é\u2028😀".encode(), b"9" * 4301, b"[" * 300]
pieces = st.sampled_from([*SIGNS, *WORDS, *ODD])
texts = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=25).map(b"".join))


@pytest.mark.parametrize("kind", TEXT)
@FEW
@given(
    data=texts, packed=st.booleans(), quote=st.sampled_from(["auto", None, "'"]), escape=st.sampled_from([None, "\\"])
)
def test_any_bytes_as_text(tmp_path_factory, kind, data, packed, quote, escape):
    path = saved(tmp_path_factory.getbasetemp(), f"a.{kind}", gzip.compress(data, 1) if packed else data)
    ends(path, **({"quote": quote, "escape": escape} if kind in ("csv", "tsv") else {}))


@pytest.mark.parametrize("kind", TEXT)
@FEW
@given(
    rows=st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=8), min_size=1), min_size=1, max_size=8),
    at=st.integers(0, 400),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_a_packed_file_with_a_wrong_byte(tmp_path_factory, kind, rows, at, byte, cut):
    data = bytearray(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    data[at % len(data)] = byte
    path = saved(tmp_path_factory.getbasetemp(), f"a.{kind}.gz", bytes(data[: at % len(data)] if cut else data))
    ends(path)


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\ufeff"), max_size=6)


@FEW
@given(rows=st.lists(st.tuples(words, words), max_size=8), bad=st.integers(0, 8), spot=st.sampled_from('"x1,'))
def test_a_row_with_an_open_quotation_costs_no_other(tmp_path_factory, rows, bad, spot):
    """Quoted as csv does it, with one line among them that opens a quotation and closes none."""
    lines = []
    for row in [("a", "b"), *(row for row in rows if row != ("", ""))]:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerow(row)
        lines.append(text.getvalue())
    before = ends(saved(tmp_path_factory.getbasetemp(), "a.csv", "".join(lines).encode()))
    if any('"' in line for line in lines):
        return  # another mark may close it
    at = min(len(lines), 1 + bad)
    lines.insert(at, f'"{spot.strip(chr(34))},2\n')
    after = ends(saved(tmp_path_factory.getbasetemp(), "a.csv", "".join(lines).encode()))
    assert [row for row in after if isinstance(row, dict)] == before
    assert [row.line for row in after if isinstance(row, BadRow)] == [at + 1]


leaves = st.sampled_from(
    [
        pa.array(["one", None, "thrée"]),
        pa.array([1, None, 3]),
        pa.array([b"\xff", b"", None]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([0, 2**60, None], pa.int64()).cast(pa.timestamp("us")),
        pa.array([0, 2**60, None], pa.int64()).cast(pa.timestamp("us", "Europe/Oslo")),
        pa.array([-(2**31), 0, 2**31 - 1], pa.int32()).cast(pa.date32()),
        pa.array([2**62, 0, None], pa.int64()).cast(pa.duration("s")),
        pa.array([float("nan"), float("inf"), None]),
        pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        pa.array(["{}", "[1", None], pa.json_()),
        pa.array(["view", None, "a longer text than twelve"], pa.string_view()),
        pa.nulls(3),
    ]
)


def nested(inner):
    """A list, a struct or a dictionary of three rows of it."""
    starts = pa.array([0, 1, 2, 3], pa.int32())
    return st.one_of(
        inner.map(lambda one: pa.ListArray.from_arrays(starts, one)),
        inner.map(lambda one: pa.StructArray.from_arrays([one, one], ["x", "y"])),
        inner.map(lambda one: pa.FixedSizeListArray.from_arrays(one, 1)),
    )


columns = st.recursive(leaves, nested, max_leaves=4)


def as_bytes(kind, table, folder):
    path = Path(folder) / f"whole.{kind}"
    if kind == "parquet":
        pa.parquet.write_table(table, path)
    else:
        new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table)
    return path.read_bytes()


@pytest.mark.parametrize("kind", TABLES)
@FEW
@given(
    names=st.lists(st.sampled_from(["a", "b", "messages", ""]), min_size=1, max_size=3),
    arrays=st.lists(columns, min_size=3, max_size=3),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_any_table_whole_or_damaged(tmp_path_factory, kind, names, arrays, damage, cut):
    folder = tmp_path_factory.getbasetemp()
    table = pa.table(arrays[: len(names)], names=names)
    try:
        data = bytearray(as_bytes(kind, table, folder))
    except pa.ArrowException:
        return  # what the format has no place for
    for where, byte in damage:
        data[int(where * len(data))] = byte
    path = saved(
        folder, "a.arrow" if kind != "parquet" else "a.parquet", bytes(data[: int(cut * len(data))] if cut else data)
    )
    found = ends(path)
    if not damage and not cut:
        assert (found is None) == (len(set(names)) < len(names))
        assert found is None or len(found) == 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a saved dataset."""
    folder = tmp_path_factory.mktemp("whole")
    features = datasets.Features({"meta": datasets.Json(), "text": datasets.Value("string")})
    datasets.Dataset.from_list([{"meta": {"k": 1}, "text": "one"}] * 3, features=features).save_to_disk(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@FEW
@given(name=st.integers(0, 2), where=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_saved_dataset(tmp_path_factory, whole, name, where, byte, cut):
    folder = tmp_path_factory.getbasetemp() / "saved"
    folder.mkdir(exist_ok=True)
    for other, data in whole.items():
        (folder / other).write_bytes(data)
    name = sorted(whole)[name]
    data = bytearray(whole[name])
    data[int(where * len(data))] = byte
    (folder / name).write_bytes(bytes(data[: int(where * len(data))] if cut else data))
    ends(folder)
