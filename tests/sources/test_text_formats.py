"""Rows out of text files, whatever is in them."""

import io
import json

import pytest

from synth.sources.text_formats import BLOCK, Bad, Torn, delimited, json_lines, json_list


def read(reader, data):
    """[(line, row or reason)], and where it was torn."""
    found = []
    try:
        found.extend(reader(io.BytesIO(data)))
    except Torn as torn:
        found.append((torn.line, f"torn: {torn}"))
    return found


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
        (b'{"a": 1', "is no JSON: Expecting ',' delimiter (column 8)"),
        (b"hello", "is no JSON: Expecting value (column 1)"),
        (b'{"a": 1} {"b": 2}', "is no JSON: Extra data (column 10)"),
        (b'{"a": "\xff"}', "is no UTF-8 (byte 8 of the line)"),
        (b"[1, 2]", "is a list: an object is expected"),
        (b'"text"', "is a text: an object is expected"),
        (b"5", "is a number: an object is expected"),
        (b"null", "is null: an object is expected"),
        (b"true", "is true or false: an object is expected"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON that can be read: Exceeds the limit (4300 digits)"),
        ('{"a": 1}'.encode("utf-16"), "is no UTF-8 (byte 1 of the line)"),
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
    assert read(json_lines, b'{"a": NaN}') == [(1, {"a": None})]


@pytest.mark.parametrize("reader", [json_lines, json_list, delimited])
def test_an_empty_file_has_no_rows(reader):
    assert read(reader, b"") == read(reader, b"\n\n") == []


def test_a_list_is_read_item_by_item_with_their_lines():
    data = b'[\n  {"a": 1},\n\n  {\n    "b": [1, "]"]\n  },\n  5\n]\n'
    assert read(json_list, data) == [
        (2, {"a": 1}),
        (4, {"b": [1, "]"]}),
        (7, "is a number: an object is expected"),
    ]


def test_an_empty_list_has_no_rows():
    assert read(json_list, b" [ ] ") == []


def test_a_json_file_may_have_an_object_a_line():
    assert read(json_list, b'\n{"a": 1}\n{"a": 2}\n') == [(2, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b'[{"a": 1},\n{"b": 2', 2, "is no JSON: Expecting ',' delimiter"),
        (b'[{"a": 1},\n {"b": tru}, {"c": 3}, {"d": 4}]', 2, "is no JSON: Expecting value"),
        (b'[{"a": 1}\n {"b": 2}]', 2, "is no JSON: a comma or the list's end is expected"),
        (b'[{"a": 1},\n]', 2, "is no JSON: Expecting value"),
        (b'[{"a": 1}', 1, "is no JSON: a comma or the list's end is expected"),
        (b'[{"a": "' + b"x" * 3_000_000, 1, "is no JSON: Unterminated string"),
        (b"[" * 100_000, 1, "is nested too deeply"),
        (b"hello", 1, "is neither a list of objects nor an object a line"),
    ],
)
def test_a_torn_list_is_named_with_its_line(data, line, reason):
    assert read(json_list, data)[-1][0] == line
    assert read(json_list, data)[-1][1].startswith(f"torn: {reason}")


def test_a_list_item_of_bad_bytes_is_bad_alone():
    found = read(json_list, b'[{"a": "\xff"}, {"a": "\\udcff"}]')
    assert [row for _, row in found] == ["is no UTF-8", {"a": "\udcff"}]


@pytest.mark.parametrize("size", range(BLOCK - 40, BLOCK + 40, 7))
def test_items_are_whole_wherever_a_block_of_the_file_ends(size):
    row = {"n": -123, "t": "é\n\\", "u": [None, True, 1e5]}
    data = b"[" + json.dumps({"pad": "x" * size}).encode() + b",\n" + json.dumps([row] * 3).encode()[1:]
    assert [found for _, found in read(json_list, data)][1:] == [row] * 3


def test_csv_rows_have_the_headers_names_and_may_span_lines():
    data = b'prompt,answer\r\n"a, ""b""\nc",d\r\n\r\ne,\n'
    assert read(delimited, data) == [
        (2, {"prompt": 'a, "b"\nc', "answer": "d"}),
        (5, {"prompt": "e", "answer": ""}),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "has 1 fields, the header has 2"),
        (b"1,2,3", "has 3 fields, the header has 2"),
        (b'"1"x,2', "',' expected after '\"'"),
        (b"\xff,2", "is no UTF-8"),
    ],
)
def test_a_bad_csv_row_is_named_and_the_next_one_is_read(row, reason):
    assert read(delimited, b"a,b\n" + row + b"\n3,4\n") == [(2, reason), (3, {"a": "3", "b": "4"})]


def test_a_quote_that_is_never_closed_is_one_bad_row():
    assert read(delimited, b'a,b\n1,2\n3,"4\n5,6\n')[1:] == [(3, "unexpected end of data")]


def test_a_csv_field_may_be_long_and_hold_nul():
    long = "a\0é" * 3_000_000
    assert read(delimited, f"a,b\n{long},2\n".encode()) == [(2, {"a": long, "b": "2"})]


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"a,a\n", "has the column 'a' twice"), (b"\xff\n1\n", "is no UTF-8"), (b'"a', "has no readable")],
)
def test_a_bad_header_leaves_nothing_to_be_read(data, told):
    ((line, reason),) = read(delimited, data)
    assert line == 1 and reason.startswith(f"torn: {told}")


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
