"""A source's rows in a run's folder."""

import contextlib
import datetime
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from synth.errors import ConfigError
from synth.sources import BadRow
from synth.sources.store import Contents, Rows, stored, survey
from tests.error_lines import check_line
from tests.storage.limits import file_size_limit


class ListSource:
    """A source of one's own: a list. `read_times` counts how often it was read."""

    def __init__(self, rows, columns=None, limit=None, repeat=1, bad_rows="stop"):
        self.rows, self.columns, self.limit, self.repeat, self.bad_rows = rows, columns or {}, limit, repeat, bad_rows
        self.read_times = 0

    def __str__(self):
        return "the list"

    def stamp(self):
        return ["list", len(self.rows)]

    def read(self):
        self.read_times += 1
        yield from self.rows


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "source"


def keep(source, folder):
    with stored(source, folder) as (contents, put_in_place):
        put_in_place()
    return contents


def all_rows(folder, count):
    rows = Rows(folder)
    return [rows.row(number) for number in range(count)]


def refusal(source, folder):
    with pytest.raises(ConfigError) as caught:
        keep(source, folder)
    assert not list(folder.parent.iterdir())
    return str(caught.value)


BAD = BadRow("seeds.jsonl", 3, "is not JSON")


def test_rows_are_read_back_by_number(folder):
    given = [{"a": "é\n\0\ud800"}, {"a": None, "b": [1, {"c": 2.5}]}, {}, {"a": "x" * 10_000_000}]
    contents = keep(ListSource(given), folder)
    assert (contents.rows, contents.columns, contents.size) == (4, ["a", "b"], 4)
    assert all_rows(folder, 4) == given
    assert Rows(folder).row(2) == {}


def test_after_the_last_row_comes_the_first_one_again(folder):
    assert keep(ListSource([{"a": 1}, {"a": 2}], repeat=3), folder).size == 6
    assert [row["a"] for row in all_rows(folder, 6)] == [1, 2, 1, 2, 1, 2]


def test_what_json_has_no_word_for_becomes_text(folder):
    keep(ListSource([{"day": datetime.date(2026, 1, 2), "picture": b"\xff", "set": frozenset()}]), folder)
    assert all_rows(folder, 1) == [{"day": "2026-01-02", "picture": "/w==", "set": "frozenset()"}]


def test_columns_can_have_new_names(folder):
    given = [{"prompt": "a", "instruction": "old", "n": 1}, {"n": 2}]
    assert keep(ListSource(given, columns={"instruction": "prompt"}), folder).columns == ["n", "instruction"]
    assert all_rows(folder, 2) == [{"n": 1, "instruction": "a"}, {"n": 2}]


def test_two_columns_can_change_names(folder):
    keep(ListSource([{"a": 1, "b": 2}], columns={"a": "b", "b": "a"}), folder)
    assert all_rows(folder, 1) == [{"a": 2, "b": 1}]


def test_a_new_name_for_a_column_that_is_not_there_is_refused(folder):
    error = refusal(ListSource([{"prompt": "a"}], columns={"instruction": "promt"}), folder)
    check_line(error, "source.columns.instruction", "'promt'", "did you mean 'prompt'?")


def test_no_more_rows_are_read_than_the_limit(folder):
    def endless():
        while True:
            yield {"a": 1}

    source = ListSource([], limit=5)
    source.read = endless
    assert keep(source, folder).rows == 5


def test_a_bad_row_stops_the_run_at_the_door(folder):
    expected = "source: seeds.jsonl:3: is not JSON; set source.bad_rows=set_aside to go on without such rows"
    assert refusal(ListSource([{"a": 1}, BAD]), folder) == expected


def test_bad_rows_can_be_set_aside(folder):
    contents = keep(ListSource([{"a": 1}, BAD, {"a": 2}], bad_rows="set_aside"), folder)
    assert (contents.rows, contents.bad_rows) == (2, 1)
    assert all_rows(folder, 2) == [{"a": 1}, {"a": 2}]
    result = json.loads((folder / "bad_rows.jsonl").read_text())
    assert result == {"file": "seeds.jsonl", "line": 3, "reason": "is not JSON"}


class Wordless:
    def __str__(self):
        raise RuntimeError("no word")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["a"], "is list, expected an object"),
        ({("a",): 1}, "can't be written as JSON: keys must be str, int, float, bool or None, not tuple"),
        ({"a": Wordless()}, "can't be written as JSON: no word"),
        ({"a": functools.reduce(lambda inner, _: [inner], range(200), 1)}, "is nested more than 200 deep"),
        ({"a": functools.reduce(lambda inner, _: [inner], range(5000), 1)}, "is nested more than 200 deep"),
    ],
    ids=range(5),
)
def test_a_row_that_can_not_be_written_down_is_a_bad_row(folder, row, reason):
    source = ListSource([], bad_rows="set_aside")
    source.read = lambda: iter([{"a": 1}, row, {"a": 3}])
    assert keep(source, folder).bad_rows == 1
    result = json.loads((folder / "bad_rows.jsonl").read_text())
    assert (result["file"], result["line"]) == ("the list", 2) and result["reason"].startswith(reason)
    assert all_rows(folder, 2) == [{"a": 1}, {"a": 3}]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "source: the list has no rows"),
        ([BAD], "source: the list has no rows but 1 bad ones, first seeds.jsonl:3: is not JSON"),
    ],
)
def test_a_source_without_rows_is_refused(folder, rows, expected):
    assert refusal(ListSource(rows, bad_rows="set_aside"), folder) == expected


def test_a_source_that_is_stored_is_not_read_again(folder):
    source = ListSource([{"a": 1}])
    first = keep(source, folder)
    assert keep(source, folder) == survey(source, folder) == first
    assert source.read_times == 1


def damages(data):
    yield data[: len(data) // 2]
    yield b""
    yield from (data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :] for place in range(len(data)))


@pytest.mark.parametrize("name", ["source.json", "rows.jsonl", "offsets", "bad_rows.jsonl"])
def test_a_damaged_file_of_a_source_is_named_and_the_source_read_again(folder, caplog, name):
    source = ListSource([{"a": "x"}, BAD, {"a": "y"}], bad_rows="set_aside")
    keep(source, folder)
    path = folder / name
    whole = path.read_bytes()
    for data in [*damages(whole), None]:
        caplog.clear()
        path.write_bytes(data) if data is not None else path.unlink()
        keep(source, folder)
        what = "lost" if data is None else "damaged"
        [line] = caplog.messages
        check_line(line, str(path), what)
        assert name == "source.json" or path.read_bytes() == whole


def test_a_row_that_is_damaged_while_a_run_goes_is_never_taken_for_another(folder):
    given = [{"a": "x"}, {"a": "y"}, {"a": "z"}]
    for name in ("rows.jsonl", "offsets"):
        keep(ListSource(given), folder)
        whole = (folder / name).read_bytes()
        for data in damages(whole):
            (folder / name).write_bytes(data)
            with contextlib.suppress(OSError):  # or the damage is at another row
                rows = Rows(folder)
                assert all(rows.row(number) == given[number % 3] for number in (2, 1, 0))
        (folder / name).write_bytes(whole)


def test_the_same_rows_have_the_same_content_and_others_another():
    def content(*rows, **keys):
        return survey(ListSource(list(rows), **keys)).identity

    assert content({"a": 1}) == content({"a": 1}, {"a": 2}, limit=1) == content({"b": 1}, columns={"a": "b"})
    assert len({str(content({"a": n}, repeat=times)) for n in (1, 2) for times in (1, 2)}) == 4


def test_a_changed_source_leaves_the_stored_one_until_it_is_put_in_place(folder):
    keep(ListSource([{"a": 1}]), folder)
    with stored(ListSource([{"a": 2}, {"a": 3}]), folder) as (contents, _):
        assert contents.rows == 2
    assert all_rows(folder, 1) == [{"a": 1}]
    assert [path.name for path in folder.parent.iterdir()] == ["source"]
    keep(ListSource([{"a": 2}, {"a": 3}]), folder)
    assert all_rows(folder, 2) == [{"a": 2}, {"a": 3}]


def test_a_damaged_note_of_what_was_stored_is_read_anew(folder):
    source = ListSource([{"a": 1}])
    keep(source, folder)
    (folder / "source.json").write_text("{")
    assert keep(source, folder).rows == 1
    assert source.read_times == 2


def test_no_source_is_records_without_end(folder):
    assert keep(None, folder) == survey(None, folder) == Contents()
    assert Contents().size is None and Contents().identity == {}


def test_rows_that_are_cut_off_are_an_error_and_no_row(folder):
    keep(ListSource([{"a": "long enough"}]), folder)
    with (folder / "rows.jsonl").open("r+") as file:
        file.truncate(5)
    with pytest.raises(OSError, match=r"rows\.jsonl is damaged: the checksum of row 0"):
        Rows(folder).row(0)


@pytest.mark.parametrize("place", [0, 5, 8])
def test_a_damaged_row_is_an_error_that_says_so(folder, place):
    keep(ListSource([{"a": "long enough"}]), folder)
    with (folder / "rows.jsonl").open("r+b") as file:
        file.seek(place)
        file.write(b"\xff")
    with pytest.raises(OSError, match=r"rows\.jsonl is damaged: the checksum of row 0 differs"):
        Rows(folder).row(0)


def test_no_room_for_a_source_leaves_nothing_behind(folder):
    source = ListSource([{"a": "x" * 1000}] * 100)
    with file_size_limit(20_000), pytest.raises(OSError, match="File too large"):
        keep(source, folder)
    assert list(folder.parent.iterdir()) == []
    assert keep(source, folder).rows == 100


def keep_shared(source, folder, shared):
    with stored(source, folder, shared) as (contents, put_in_place):
        put_in_place()
    return contents


def test_slices_read_a_source_once_and_have_one_copy(tmp_path):
    source, shared = ListSource([{"a": 1}, {"a": 2}]), tmp_path / "source"
    folders = [tmp_path / f"{number}-of-3" / "source" for number in range(3)]
    first, *others = [keep_shared(source, folder, shared) for folder in folders]
    assert others == [first, first] and source.read_times == 1
    assert survey(source, tmp_path / "3-of-3", shared) == first and source.read_times == 1
    assert all((folder / "rows.jsonl").samefile(shared / "rows.jsonl") for folder in folders)
    assert all_rows(folders[2], 2) == [{"a": 1}, {"a": 2}]


def test_a_slice_waits_for_the_one_that_reads(tmp_path, capsys):
    source, shared = ListSource([{"a": 1}]), tmp_path / "source"
    with stored(source, tmp_path / "0" / "source", shared) as (_, put_in_place), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(keep_shared, source, tmp_path / "1" / "source", shared)
        while "waiting for another slice" not in capsys.readouterr().err:
            time.sleep(0.01)
        assert not waiting.done()
        put_in_place()
        assert waiting.result(10).rows == source.read_times == 1


def test_a_slice_that_is_refused_leaves_the_reading_to_the_next(tmp_path):
    source, shared = ListSource([{"a": 1}]), tmp_path / "source"
    with stored(source, tmp_path / "0" / "source", shared):
        pass
    assert not shared.exists()
    assert keep_shared(source, tmp_path / "1" / "source", shared).rows == 1
    assert shared.exists()


def test_a_slice_with_other_rows_leaves_those_of_the_others_as_they_are(tmp_path):
    shared, folders = tmp_path / "source", [tmp_path / name / "source" for name in "ab"]
    keep_shared(ListSource([{"a": 1}]), folders[0], shared)
    keep_shared(ListSource([{"a": 2}, {"a": 3}]), folders[1], shared)
    assert all_rows(folders[0], 1) == [{"a": 1}]
    assert all_rows(folders[1], 2) == all_rows(shared, 2) == [{"a": 2}, {"a": 3}]
