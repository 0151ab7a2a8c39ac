"""Rows out of CSV and TSV, as spreadsheets, databases and people write them."""

import pytest

from synth.sources.delimited import CSV, TSV, Dialect, delimited
from tests.sources.test_json_text import read

_HINT = "; if quotation marks are part of the text, set source.quote=null"
NEVER_CLOSED = f"has a quotation mark that is never closed{_HINT}"
GOES_ON = f"continues after a closing quotation mark{_HINT}"


def rows(data, dialect=CSV):
    """[(line, row or reason)], and where it was torn."""
    return read(lambda file: delimited(file, dialect), data)


def test_csv_rows_have_the_headers_names_and_may_span_lines():
    data = b'prompt,answer\r\n"a, ""b""\nc",d\r\n\r\n  \r\ne,\n'
    assert rows(data) == [
        (2, {"prompt": 'a, "b"\nc', "answer": "d"}),
        (6, {"prompt": "e", "answer": ""}),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "has 1 fields, the header has 2"),
        (b"1,2,3", "has 3 fields, the header has 2"),
        (b'"1"x,2', GOES_ON),
        (b"\xff,2", "is not UTF-8"),
    ],
)
def test_a_bad_csv_row_is_named_and_the_next_one_is_read(row, reason):
    assert rows(b"a,b\n" + row + b"\n3,4\n") == [(2, reason), (3, {"a": "3", "b": "4"})]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_row_with_an_unclosed_quotation_mark_is_bad_alone(ends):
    data = ends.join(["a,b", "1,2", '"Quote me,4', "5,6", "7,8", ""]).encode()
    good = [(2, {"a": "1", "b": "2"}), (4, {"a": "5", "b": "6"}), (5, {"a": "7", "b": "8"})]
    assert rows(data) == [good[0], (3, NEVER_CLOSED), *good[1:]]


def test_a_later_mark_does_not_close_what_is_no_quotation():
    data = b'a,b\n"Quote me,2\n3,4\nSay "hi",6\n7,8\n'
    assert rows(data) == [
        (2, GOES_ON),
        (3, {"a": "3", "b": "4"}),
        (4, {"a": 'Say "hi"', "b": "6"}),
        (5, {"a": "7", "b": "8"}),
    ]


def test_a_quotation_spans_no_more_lines_than_16_mib(monkeypatch):
    monkeypatch.setattr("synth.sources.delimited.LONGEST_OVER_LINES", 1000)
    data = b'a,b\n"Quote me,2\n' + b"3,4\n" * 1000
    assert [type(row) for _, row in rows(data)[1:]] == [dict] * 1000
    assert rows(data)[0] == (2, "spans lines of more than 0 MiB")


def test_a_tsv_has_no_quotation_unless_it_is_said():
    data = b'a\tb\n"Quote me\t2\n3\t4\nSay hi"\t6\n'
    assert [row["a"] for _, row in rows(data, TSV)] == ['"Quote me', "3", 'Say hi"']
    assert [row["a"] for _, row in rows(data, Dialect("\t", '"'))] == ["Quote me\t2\n3\t4\nSay hi"]
    ((_, reason), *_) = rows(b'a\tb\n"two\nlines"\t2\n', TSV)
    assert reason.startswith("has 1 fields, the header has 2; if fields are quoted, set ")


def test_a_backslash_escapes_a_mark_where_it_is_said():
    data = b'a,b\n"He said \\"hi\\" and left",2\n'
    assert rows(data, Dialect(",", '"', "\\")) == [(2, {"a": 'He said "hi" and left', "b": "2"})]
    ((_, reason),) = rows(data)
    assert reason.endswith("; if a backslash escapes such marks, set 'source.escape=\\\\'")


def test_a_row_may_not_end_with_the_escape_sign():
    assert rows(b"a,b\n1,2\\", Dialect(",", '"', "\\")) == [(2, "ends with the escape character")]


def test_unnamed_columns_are_left_out_where_they_are_empty():
    assert rows(b"a,b,,\n1,2,,\n3,4\n5,6,,7\n") == [
        (2, {"a": "1", "b": "2"}),
        (3, {"a": "3", "b": "4"}),
        (4, "has 4 fields, the header has 2"),
    ]
    assert rows(b",a,\n0,1,\n,2,\n") == [(2, {"Unnamed: 0": "0", "a": "1"}), (3, {"a": "2"})]


@pytest.mark.parametrize(("data", "dialect"), [(b"a;b\n1;2", CSV), (b"a|b", CSV), (b"a\tb", CSV), (b"a,b", TSV)])
def test_a_header_of_one_column_with_another_delimiter_in_it_is_refused(data, dialect):
    ((line, told),) = rows(data, dialect)
    name = data.split(b"\n")[0].decode()
    assert line == 1 and told.startswith(f"torn: has only one column, {name!r}; if the delimiter is another one, set ")
    assert ("source.delimiter=tab" if "\t" in name else f"'source.delimiter=\"{name[1]}\"'") in told
    assert rows(b"a;b\n1\n", Dialect(",", '"', is_given=True)) == [(2, {"a;b": "1"})]


def test_a_first_line_that_names_the_delimiter_is_no_header():
    assert rows(b"sep=;\r\na;b\r\n1;2\r\n") == [(3, {"a": "1", "b": "2"})]
    assert rows(b"sep=,\na;b\n1;2\n", Dialect(";", '"', is_given=True)) == [(3, {"a": "1", "b": "2"})]


def test_a_csv_field_may_be_long_and_hold_nul():
    long = "a\0é" * 3_000_000
    assert rows(f"a,b\n{long},2\n".encode()) == [(2, {"a": long, "b": "2"})]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a,a\n", "has the column 'a' twice"),
        (b"\xff\n1\n", "is not UTF-8"),
        (b'"a', "has no readable"),
        (b",,\n1,2,3\n", "has no column names"),
    ],
)
def test_a_bad_header_leaves_nothing_to_be_read(data, expected):
    ((line, reason),) = rows(data)
    assert line == 1 and reason.startswith(f"torn: {expected}")


def test_a_header_alone_has_no_rows():
    assert rows(b"a,b\n") == []
