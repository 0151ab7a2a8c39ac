"""Files of every kind as a source."""

import bz2
import gzip
import json
import lzma
import os
import random

import datasets
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from synth.components.instantiate import build
from synth.errors import ConfigError
from synth.sources import BadRow, Source
from synth.sources.files import Files
from tests.error_lines import check_line

NAMES = "a.jsonl a.ndjson a.JSONL a.jsonl.gz a.json a.json.gz a.csv a.csv.gz a.tsv a.parquet a.feather a.arrow saved"
ROWS = [{"prompt": "why?", "n": 1}, {"prompt": "é\0", "n": 2}]


def write(path, rows=ROWS):
    """The rows in the format that the ending says."""
    table = pa.Table.from_pylist(rows)
    match path.name.partition(".")[2].removesuffix(".gz"):
        case "jsonl" | "ndjson":
            data = "".join(json.dumps(row) + "\n" for row in rows)
        case "json":
            data = json.dumps(rows)
        case "csv" | "tsv" as kind:
            mark = "," if kind == "csv" else "\t"
            data = "".join(mark.join(map(str, fields)) + "\n" for fields in [rows[0], *(row.values() for row in rows)])
        case "parquet":
            return pa.parquet.write_table(table, path, row_group_size=1)
        case "feather":
            return pa.feather.write_feather(table, path)
        case "arrow":
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                return writer.write_table(table)
        case _:
            return datasets.Dataset.from_list(rows).save_to_disk(path)
    path.write_bytes(gzip.compress(data.encode()) if path.name.endswith(".gz") else data.encode())


def read(*paths, **keys):
    return list(Files(path=[str(path) for path in paths], **keys).read())


def refusal(*paths, **keys):
    with pytest.raises(ConfigError) as caught:
        source = Files(path=[str(path) for path in paths], **keys)
        source.stamp()
        list(source.read())
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES.split())
def test_rows_of_every_format_are_the_same(tmp_path, name):
    written = tmp_path / name.lower()
    write(written)
    written.rename(tmp_path / name)
    texts = any(kind in name for kind in ("csv", "tsv"))
    assert read(tmp_path / name) == [row | {"n": str(row["n"])} if texts else row for row in ROWS]


def test_a_format_can_be_said_where_the_ending_does_not(tmp_path):
    write(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").rename(tmp_path / "a.txt")
    assert read(tmp_path / "a.txt", format="jsonl") == ROWS
    assert refusal(tmp_path / "a.txt").startswith(f"source.path: {tmp_path}/a.txt ends in none of .jsonl, ")


def test_a_pattern_names_files_in_the_order_of_their_names(tmp_path):
    for name in ("b.jsonl", "a.csv", "c.other"):
        write(tmp_path / name, [{"from": name}]) if name != "c.other" else (tmp_path / name).touch()
    assert read(tmp_path / "[ab].*") == [{"from": "a.csv"}, {"from": "b.jsonl"}]
    assert read(tmp_path / "b.jsonl", tmp_path / "a.csv") == [{"from": "b.jsonl"}, {"from": "a.csv"}]


def test_one_path_needs_no_list(tmp_path):
    write(tmp_path / "a.jsonl")
    assert list(Files(path=str(tmp_path / "a.jsonl")).read()) == ROWS


def test_a_missing_file_is_named_with_the_most_similar_one_there_is(tmp_path):
    write(tmp_path / "seeds.jsonl")
    expected = f"source.path: there is no file '{tmp_path}/seed.jsonl'; did you mean '{tmp_path}/seeds.jsonl'?"
    assert refusal(tmp_path / "seed.jsonl") == expected
    check_line(refusal(tmp_path / "no" / "x.csv"), "source.path", f"'{tmp_path}/no/x.csv'")


def test_a_pattern_without_a_match_is_refused(tmp_path):
    check_line(refusal(tmp_path / "*.csv"), "source.path", f"'{tmp_path}/*.csv'")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    assert refusal(tmp_path).startswith(f"source.path: {tmp_path} is a folder, not a saved dataset")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "saved"])
def test_a_file_of_nonsense_is_refused(tmp_path, name):
    path = tmp_path / name
    if name == "saved":
        write(path)
    (path / "state.json" if path.is_dir() else path).write_bytes(b"nonsense" * 10)
    assert refusal(path).startswith(f"source.path: {path} is not a readable ")


def test_a_truncated_archive_is_refused(tmp_path):
    write(tmp_path / "a.jsonl.gz", ROWS * 1000)
    whole = (tmp_path / "a.jsonl.gz").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(whole[:-20])
    assert refusal(tmp_path / "a.jsonl.gz").startswith(f"source.path: {tmp_path}/a.jsonl.gz ")


def test_a_file_that_can_not_be_opened_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a.jsonl")

    def refuse(self, *arguments):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    check_line(refusal(tmp_path / "a.jsonl"), f"source.path: {tmp_path}/a.jsonl", "Permission denied")


def test_a_text_file_is_unpacked_whatever_its_name(tmp_path):
    write(tmp_path / "a.jsonl.gz")
    (tmp_path / "a.jsonl.gz").rename(tmp_path / "a.jsonl")
    assert read(tmp_path / "a.jsonl") == ROWS
    write(tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").rename(tmp_path / "b.jsonl.gz")
    assert read(tmp_path / "b.jsonl.gz") == ROWS


def test_an_archive_with_a_hole_in_it_is_refused(tmp_path):
    packed = bytearray(gzip.compress(json.dumps([random.random() for _ in range(20_000)]).encode()))
    packed[50_000:60_000] = bytes(10_000)
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    assert refusal(tmp_path / "a.jsonl.gz").startswith(f"source.path: {tmp_path}/a.jsonl.gz ")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ('{"a": 1}'.encode("utf-16"), "UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-32"), "UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-16-be"), "UTF-16 or UTF-32"),
        (bz2.compress(b'{"a": 1}'), "compressed by bzip2"),
        (lzma.compress(b'{"a": 1}'), "compressed by xz"),
        (b"PK\x03\x04...", "a zip archive"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json.gz"])
def test_what_is_no_text_is_said_to_be_what_it_is(tmp_path, name, data, what):
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    expected = f"source.path: {tmp_path}/{name}:1: is {what}; text must be UTF-8, plain or compressed by gzip"
    assert refusal(tmp_path / name) == expected


def test_only_text_is_packed_as_a_file(tmp_path):
    (tmp_path / "a.parquet.gz").touch()
    expected = f"source.path: {tmp_path}/a.parquet.gz can't be read: .gz is for text only; unpack it first"
    assert refusal(tmp_path / "a.parquet.gz") == expected


def test_delimiter_quote_and_escape_can_be_said(tmp_path):
    (tmp_path / "a.csv").write_text("a\tb\n'x\ty\\''\t2\n")
    assert read(tmp_path / "a.csv", delimiter="tab", quote="'", escape="\\") == [{"a": "x\ty'", "b": "2"}]
    assert read(tmp_path / "a.csv", delimiter="\\t", quote=None)[0].reason == "has 3 fields, the header has 2"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"delimiter": ";;"}, "delimiter: must be one character"),
        ({"delimiter": None}, "delimiter: must be one character, or tab"),
        ({"escape": "\n"}, "escape: must be one character"),
        ({"quote": ","}, "delimiter, quote and escape must be different characters"),
    ],
)
def test_what_can_be_no_delimiter_is_refused(keys, expected):
    with pytest.raises(ConfigError) as caught:
        build({"_target_": "synth.sources.files.Files", "path": "a.csv", **keys}, "source", Source)
    assert expected in str(caught.value)


def test_only_csv_and_tsv_have_a_delimiter(tmp_path):
    write(tmp_path / "a.jsonl")
    expected = f"source.delimiter: is for csv and tsv only, and {tmp_path}/a.jsonl is jsonl"
    assert refusal(tmp_path / "a.jsonl", delimiter=";") == expected


def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "a.jsonl").symlink_to("gone.jsonl")
    assert refusal(tmp_path / "a.jsonl").endswith("a.jsonl' is a link to 'gone.jsonl', which is not there")
    check_line(refusal(tmp_path / "*.jsonl"), f"source.path: {tmp_path}/a.jsonl", "No such file or directory")


def test_a_file_that_is_gone_since_it_was_looked_at_is_refused(tmp_path):
    write(tmp_path / "a.jsonl")
    source = Files(path=str(tmp_path / "a.jsonl"))
    source.stamp()
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(ConfigError, match="there is no file"):
        list(source.read())


@pytest.fixture
def locked(tmp_path):
    """A folder that the test may not look into, as another user's."""
    folder = tmp_path / "other"
    folder.mkdir()
    write(folder / "a.jsonl")
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


@pytest.mark.parametrize("name", ["a.jsonl", "deeper/a.jsonl", "*.jsonl", "", "a.jsonl?"])
def test_a_folder_of_another_user_is_refused(locked, name):
    assert refusal(locked / name).endswith(" can't be read (Permission denied)")


def test_a_torn_file_is_named_with_the_line(tmp_path):
    (tmp_path / "a.json").write_text('[{"a": 1},\n{"a": 2')
    expected = f"source.path: {tmp_path}/a.json:2: is not JSON: Expecting ',' delimiter"
    assert refusal(tmp_path / "a.json") == expected


def test_a_bad_row_is_named_by_file_and_line_and_the_others_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    reason = "ends within an object, expected an object per line"
    assert read(tmp_path / "a.jsonl")[1:] == [BadRow(str(tmp_path / "a.jsonl"), 2, reason), {"a": 3}]


def test_a_saved_dataset_with_several_splits_needs_one(tmp_path):
    data = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(tmp_path / "two")
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "one")
    assert read(tmp_path / "two", split="test") == ROWS[1:]
    assert read(tmp_path / "one") == ROWS
    assert refusal(tmp_path / "two").endswith("choose from train, test")


def test_a_file_has_no_splits(tmp_path):
    write(tmp_path / "a.jsonl")
    assert refusal(tmp_path / "a.jsonl", split="test").startswith("source.split: is for a saved dataset only")


def test_the_stamp_changes_with_a_file(tmp_path):
    write(tmp_path / "a.jsonl")
    source = Files(path=str(tmp_path / "a.jsonl"))
    before = source.stamp()
    assert source.stamp() == before
    write(tmp_path / "a.jsonl", ROWS[:1])
    assert source.stamp() != before


def test_a_parquet_file_is_read_a_piece_at_a_time(tmp_path):
    write(tmp_path / "a.parquet", [{"n": n} for n in range(2000)])
    rows = Files(path=str(tmp_path / "a.parquet")).read()
    before = pa.total_allocated_bytes()
    assert next(rows) == {"n": 0}
    assert pa.total_allocated_bytes() - before < 1000 * 8
    rows.close()
