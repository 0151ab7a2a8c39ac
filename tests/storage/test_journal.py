"""The journal: what was synced comes back, and what is torn or wrong does not."""

import os

import pyarrow as pa
import pytest

from synth.records import DedupKey, Finished, Spent
from synth.storage import append_log
from synth.storage import journal as module
from synth.storage.append_log import read
from synth.storage.journal import Journal, finished_numbers
from tests.storage.limits import file_size_limit
from tests.storage.rows import finished, kept


@pytest.fixture
def path(tmp_path):
    return tmp_path / "00000.journal.arrow"


def journal_of(path, *numbers):
    """A journal with one batch a record, left open as a killed process leaves it."""
    journal = Journal.open(path, {})
    for number in numbers:
        journal.append(finished(number, rows=2, rejections=1))
        journal.sync()
    return journal


def table_of(journal):
    return pa.Table.from_batches(journal.in_order())


def test_synced_records_come_back_after_a_kill(path):
    journal_of(path, 3, 1)
    again = Journal.open(path, {})
    assert again.finished.keys() == {1, 3}
    assert (again.tally.kept, again.tally.rejected) == (4, 2)


def test_records_come_back_in_order_of_their_numbers(path):
    table = table_of(journal_of(path, 3, 1, 2))
    assert table["number"].to_pylist() == [1, 2, 3]
    assert [row["id"] for row in table["kept"][0].as_py()] == ["1/0", "1/1"]


def test_what_records_claimed_comes_back_with_them_their_rows_fit_or_not(path):
    claims = [DedupKey("repeated", (7, number), bytes([0, number])) for number in range(2)]
    journal = Journal.open(path, {})
    journal.append(Finished(7, kept=[kept("7/0"), kept("7/1") | {"seed": "no number"}], claims=claims))
    journal.append(finished(8))
    journal.close()
    again = Journal.open(path, {})
    assert (again.claims(), again.tally.kept, again.tally.rejected) == (claims, 1, 1)


def test_an_unsynced_record_is_not_on_disk_and_closing_writes_it(path):
    journal = journal_of(path, 1)
    journal.append(finished(2))
    assert Journal.open(path.with_name("copy"), {}).finished.keys() == set()
    assert table_of(journal)["number"].to_pylist() == [1]
    journal.close()
    assert Journal.open(path, {}).finished.keys() == {1, 2}


def test_a_tail_torn_at_any_byte_costs_its_own_batch_only(path, monkeypatch):
    monkeypatch.setattr(append_log.log, "disabled", True)  # thousands of warnings
    journal = journal_of(path, 1, 2)
    first = path.stat().st_size
    journal.append(finished(3))
    journal.close()
    for end in reversed(range(first, path.stat().st_size)):
        os.truncate(path, end)
        assert [batch["number"].to_pylist() for batch in read(path, journal.schema)] == [[1], [2]], end


def test_a_journal_goes_on_after_a_torn_tail(path):
    journal_of(path, 1, 2)
    os.truncate(path, path.stat().st_size - 5)
    again = Journal.open(path, {})
    again.append(finished(9))
    again.close()
    assert Journal.open(path, {}).finished.keys() == {1, 9}


def test_a_flipped_byte_costs_its_batch_and_those_after_it(path):
    journal = journal_of(path, 1)
    journal.append(finished(2))
    journal.close()
    data = bytearray(path.read_bytes())
    data[data.rindex(b"answer")] ^= 0xFF
    path.write_bytes(data)
    assert Journal.open(path, {}).finished.keys() == {1}


@pytest.mark.parametrize("garbage", [b"", b"not arrow at all", b"\x00" * 4096])
def test_a_file_that_is_no_journal_starts_anew(path, garbage):
    path.write_bytes(garbage)
    assert Journal.open(path, {}).finished.keys() == set()


def test_zeros_after_a_power_cut_end_the_journal(path):
    journal_of(path, 1)
    with path.open("ab") as file:
        file.write(b"\x00" * 4096)
    assert Journal.open(path, {}).finished.keys() == {1}


def test_a_former_owner_that_still_lives_can_not_write_into_it(path):
    former = journal_of(path, 1)
    owner = Journal.open(path, {})
    former.append(finished(5))
    former.sync()
    owner.append(finished(2))
    owner.close()
    assert Journal.open(path, {}).finished.keys() == {1, 2}


def test_a_value_that_its_column_can_not_hold_rejects_its_record_and_no_other(path):
    columns = {"score": pa.int64()}
    journal = Journal.open(path, columns)
    journal.append(finished(1))
    journal.append(type(finished(2))(2, kept=[kept("2") | {"score": "many"}]))
    journal.sync()
    good, bad = table_of(journal).to_pylist()
    assert [row["id"] for row in good["kept"]] == ["1/0"]
    assert (bad["kept"], bad["rejected"][0]["id"], bad["rejected"][0]["reason"]) == ([], "2", "unwritable")
    assert (journal.tally.kept, journal.tally.rejected) == (1, 1)
    assert +journal.tally.reasons == {"journal: unwritable": 1}


def test_what_was_spent_on_a_record_that_does_not_fit_is_spent_on_its_rejection(path):
    one = Spent(1, 2, 0, 3, 0.5)
    spent = {"7/0": {"test": one}, "7/1": {"test": one, "judge": one}}
    journal = Journal.open(path, {})
    journal.append(Finished(7, kept=[kept("7/0"), kept("7/1") | {"seed": "no number"}], spent=spent))
    journal.sync()
    rows = table_of(journal)["spent"][0].as_py()
    assert [(row["id"], row["step"], row["calls"]) for row in rows] == [("7/0", "test", 2), ("7/0", "judge", 1)]


@pytest.mark.parametrize("room", [0, 1, 50, 400])
def test_a_full_disk_loses_nothing_that_can_still_be_written(path, room):
    journal = journal_of(path, 1)
    journal.append(finished(2))
    with file_size_limit(path.stat().st_size + room), pytest.raises(OSError, match="File too large"):
        journal.sync()
    assert finished_numbers(path) == {1}
    journal.append(finished(3))
    journal.close()
    again = Journal.open(path, {})
    assert again.finished.keys() == {1, 2, 3}
    assert table_of(again)["number"].to_pylist() == [1, 2, 3]


def test_a_full_disk_leaves_the_journal_that_can_not_be_taken_over(path):
    journal_of(path, 1, 2).close()
    before = path.read_bytes()
    with file_size_limit(1000), pytest.raises(OSError, match="File too large"):
        Journal.open(path, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_journal_of_another_run_or_shard_is_not_gone_on_with(path):
    journal = Journal.open(path, {}, "one 0 10")
    journal.append(finished(1))
    journal.close()
    assert Journal.open(path, {}, "one 0 10").finished.keys() == {1}
    assert Journal.open(path, {}, "other 0 10").finished.keys() == set()


def test_batches_are_small_however_large_the_rows_are(path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_BYTES", 10_000)
    journal = Journal.open(path, {})
    texts = ["é\0" * size for size in (10, 4000, 10, 60_000, 3000, 3000)]
    for number, text in enumerate(texts):
        journal.append(Finished(number, kept=[kept(str(number), text)]))
    journal.sync()
    assert [batch["number"].to_pylist() for batch in read(path, journal.schema)] == [[0], [1], [2], [3], [4], [5]]
    assert [row["kept"][0]["instruction"] for row in table_of(journal).to_pylist()] == texts


def test_batches_of_small_rows_have_many_records(path):
    journal = Journal.open(path, {})
    for number in range(2500):
        journal.append(finished(number, rows=0, rejections=1))
    journal.sync()
    assert [len(batch) for batch in read(path, journal.schema)] == [1000, 1000, 500]


def test_a_journal_whose_tail_is_torn_while_it_is_written_is_not_committed(path):
    journal = journal_of(path, 1, 2)
    os.truncate(path, path.stat().st_size - 5)
    with pytest.raises(OSError, match="damaged: 1 of 2 records are readable"):
        table_of(journal)
