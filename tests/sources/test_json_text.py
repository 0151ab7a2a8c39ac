"""Rows out of JSON files, whatever is in them; and what all text files have in common."""

import io
import json
import math

import pytest

from synth.sources import Bad, Torn
from synth.sources.delimited import delimited
from synth.sources.json_text import BLOCK, json_lines, json_list


def read(reader, data):
    """[(line, row or reason)], and where it was torn."""
    found = []
    try:
        found.extend(reader(io.BytesIO(data)))
    except Torn as torn:
        found.append((torn.line, f"torn: {torn}"))
    return found


A_LINE = "expected an object per line"
NOT_WHOLE = f"ends within an object, {A_LINE}"


class Counted(io.BytesIO):
    """A file that tells how much of it was read."""

    def read(self, size=-1):
        return self._noted(super().read(size))

    def read1(self, size=-1):
        return self._noted(super().read1(size))

    def readline(self, size=-1):
        return self._noted(super().readline(size))

    def _noted(self, data):
        self.count = getattr(self, "count", 0) + len(data)
        return data


def test_json_lines_gives_an_object_a_line_and_skips_blank_ones():
    assert read(json_lines, b'{"a": 1}\n\n \t\r\n{"b": "\xc3\xa9"}') == [(1, {"a": 1}), (4, {"b": "é"})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "ends within an object, expected an object per line"),
        (b'{"a": "1', "ends within an object, expected an object per line"),
        (
            b'[{"a": 1},',
            "ends within a list, expected an object per line; set source.format=json for a list of objects",
        ),
        (b'[{"a": 1}]', f"is a list, {A_LINE}; set source.format=json for a list of objects"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "has the key 'c' twice"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "is nested more than 200 deep"),
        (b"hello", "is not JSON: Expecting value (column 1)"),
        (b'{"a": 1} {"b": 2}', "is not JSON: Extra data (column 10)"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 8 of the line)"),
        (b"[1, 2]", "is a list, expected an object"),
        (b'"text"', "is a text, expected an object"),
        (b"5", "is a number, expected an object"),
        (b"null", "is null, expected an object"),
        (b"true", "is true or false, expected an object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested more than 200 deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit (4300 digits)"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8 (byte 1 of the line)"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_is_read(line, reason):
    (bad, after) = read(json_lines, b'{"first": 1}\n' + line + b'\n{"next": 1}\n')[1:]
    assert bad[0] == 2 and isinstance(bad[1], Bad)
    assert bad[1].startswith(reason)
    assert after == (3, {"next": 1})


@pytest.mark.parametrize("reader", [json_lines, json_list])
@pytest.mark.parametrize("text", ["a\0b", "\ud800", "é😀" * 2_000_000, "{{ 7 * 7 }}", "<|im_end|>"])
def test_any_text_comes_out_as_it_is(reader, text):
    row = json.dumps({"text": text}).encode()
    data = row if reader is json_lines else b"[" + row + b"]"
    assert read(reader, data) == [(1, {"text": text})]


@pytest.mark.parametrize("reader", [json_lines, json_list, delimited])
def test_a_byte_order_mark_is_no_part_of_the_first_row(reader):
    data = {json_lines: b'{"a": "1"}', json_list: b'[{"a": "1"}]', delimited: b"a\n1"}[reader]
    assert [row for _, row in read(reader, b"\xef\xbb\xbf" + data)] == [{"a": "1"}]


def test_what_pandas_writes_for_a_missing_number_is_null():
    assert read(json_lines, b'{"a": NaN, "b": -Infinity}') == [(1, {"a": None, "b": -math.inf})]


@pytest.mark.parametrize("reader", [json_lines, json_list, delimited])
def test_an_empty_file_has_no_rows(reader):
    assert read(reader, b"") == read(reader, b"\n\n") == []


def test_a_list_is_read_item_by_item_with_their_lines():
    data = b'[\n  {"a": 1},\n\n  {\n    "b": [1, "]"]\n  },\n  5\n]\n'
    assert read(json_list, data) == [
        (2, {"a": 1}),
        (4, {"b": [1, "]"]}),
        (7, "is a number, expected an object"),
    ]


def test_an_empty_list_has_no_rows():
    assert read(json_list, b" [ ] ") == []


def test_a_json_file_may_have_an_object_a_line():
    assert read(json_list, b'\n{"a": 1}\n{"a": 2}\n') == [(2, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b'[{"a": 1},\n{"b": 2', 2, "is not JSON: Expecting ',' delimiter"),
        (b'[{"a": 1},\n {"b": tru}, {"c": 3}, {"d": 4}]', 2, "is not JSON: Expecting value"),
        (b'[{"a": 1}\n {"b": 2}]', 2, "is not JSON: expected a comma or the end of the list"),
        (b'[{"a": 1},\n]', 2, "is not JSON: Expecting value"),
        (b'[{"a": 1}', 1, "is not JSON: expected a comma or the end of the list"),
        (b'[{"a": "' + b"x" * 3_000_000, 1, "is not JSON: Unterminated string"),
        (b"[" * 100_000, 1, "is nested more than 200 deep"),
        (b'[{"a": 1}]\n\n[{"a": 2}]', 3, "continues after the end of the list"),
        (b"hello", 1, "is something else, expected a list of objects, or an object per line"),
    ],
)
def test_a_torn_list_is_named_with_its_line(data, line, reason):
    assert read(json_list, data)[-1][0] == line
    assert read(json_list, data)[-1][1].startswith(f"torn: {reason}")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": {"b": 1, "b": 2}}', "has the key 'b' twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit (4300 digits)"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "is nested more than 200 deep"),
    ],
)
def test_a_list_item_that_is_whole_but_can_not_be_used_is_bad_alone(item, reason):
    (line, bad), after = read(json_list, b"[" + item + b',\n{"a": "\\udcff"}]')
    assert line == 1 and bad.startswith(reason)
    assert after == (2, {"a": "\udcff"})


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r", b"\n\r\n"])
def test_lines_may_end_as_on_any_system(ends):
    data = ends.join([b'{"a": 1}', b'{"a": ', b'{"a": 3}'])
    assert [row for _, row in read(json_lines, data)] == [{"a": 1}, NOT_WHOLE, {"a": 3}]


def test_files_with_byte_order_marks_may_have_been_joined():
    assert [row for _, row in read(json_lines, b'\xef\xbb\xbf{"a": 1}\n' * 2)] == [{"a": 1}] * 2


def test_a_line_that_is_too_long_is_bad_alone(monkeypatch):
    monkeypatch.setattr("synth.sources.json_text.LONGEST", 20)
    data = b'{"a": 1}\n{"a": "' + b"x" * 100 + b'"}\n{"a": 3}\n'
    assert read(json_lines, data) == [(1, {"a": 1}), (2, "is longer than 0 MiB"), (3, {"a": 3})]


NEEDED = "expected a list of objects, or an object per line"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{\n "version": 1,\n "data": [\n  {"a": 1}\n ]\n}', f"is a single object, {NEEDED}; its 'data' is a list of"),
        (b'{"version": 1, "data": [{"a": 1}]}', f"is a single object, {NEEDED}; its 'data' is a list of objects"),
        (b'{"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}}', f"is a single object of columns, {NEEDED}; pandas"),
        (b'{"a": [1, 2], "b": [3, 4]}', f"is a single object of columns, {NEEDED}; pandas"),
        (b'{"0": {"a": 1}, "1": {"a": 2}}', f"is a single object of columns, {NEEDED}; pandas"),
        (b'{"columns": ["a"], "index": [0], "data": [[1]]}', f"is a single object of columns, {NEEDED}; pandas"),
        (b'{"schema": {}, "data": [{"a": 1}]}', f"is a single object, {NEEDED}; its 'data' is a list of objects"),
        (b'{\n "a": 1\n}\n{\n "a": 2\n}', f"is an object over several lines, {NEEDED}"),
    ],
)
def test_an_object_that_holds_the_rows_is_no_row(data, reason):
    ((line, told),) = read(json_list, data)
    assert line == 1 and told.startswith(f"torn: {reason}")


def test_one_object_with_texts_in_it_is_one_row():
    assert read(json_list, b'{"a": "x", "b": [1, 2]}\n') == [(1, {"a": "x", "b": [1, 2]})]


def test_a_bad_first_line_of_a_json_file_is_one_bad_row():
    assert read(json_list, b'{"a": \n{"a": 2}\n{"a": 3}')[1:] == [(2, {"a": 2}), (3, {"a": 3})]


@pytest.mark.parametrize("size", range(BLOCK - 40, BLOCK + 40, 7))
def test_items_are_whole_wherever_a_block_of_the_file_ends(size):
    row = {"n": -123, "t": "é\n\\", "u": [None, True, 1e5]}
    data = b"[" + json.dumps({"pad": "x" * size}).encode() + b",\n" + json.dumps([row] * 3).encode()[1:]
    assert [found for _, found in read(json_list, data)][1:] == [row] * 3


@pytest.mark.parametrize(
    ("reader", "first", "more"),
    [
        (json_lines, b"", b'{"a": "0123456789"}\n'),
        (json_list, b'[{"a": 1}', b',\n{"a": "0123456789"}'),
        (delimited, b"a,b\n", b"0123456789,1\n"),
    ],
)
def test_no_more_is_read_than_the_rows_asked_for(reader, first, more):
    data = first + more * 500_000
    file = Counted(data)
    rows = reader(file)
    next(rows)
    assert file.count < 2.5 * BLOCK < len(data) / 2
