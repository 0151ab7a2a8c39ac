"""The journal: what was synced comes back, and what is torn or wrong does not."""

import os

import pyarrow as pa
import pytest

from synth.storage.journal import Journal
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


def test_synced_records_come_back_after_a_kill(path):
    journal_of(path, 3, 1)
    again = Journal.open(path, {})
    assert again.finished == {1, 3}
    assert (again.kept, again.rejected) == (4, 2)


def test_records_come_back_in_order_of_their_numbers(path):
    table = journal_of(path, 3, 1, 2).table()
    assert table["number"].to_pylist() == [1, 2, 3]
    assert [row["id"] for row in table["kept"][0].as_py()] == ["1/0", "1/1"]


def test_an_unsynced_record_is_not_on_disk_and_closing_writes_it(path):
    journal = journal_of(path, 1)
    journal.append(finished(2))
    assert Journal.open(path.with_name("copy"), {}).finished == set()
    assert journal.table()["number"].to_pylist() == [1]
    journal.close()
    assert Journal.open(path, {}).finished == {1, 2}


@pytest.mark.parametrize("missing", [1, 8, 100, 700])
def test_a_torn_tail_costs_its_own_batch_only(path, missing):
    journal_of(path, 1, 2)
    os.truncate(path, path.stat().st_size - missing)
    assert Journal.open(path, {}).finished == {1}


def test_a_journal_goes_on_after_a_torn_tail(path):
    journal_of(path, 1, 2)
    os.truncate(path, path.stat().st_size - 5)
    again = Journal.open(path, {})
    again.append(finished(9))
    again.close()
    assert Journal.open(path, {}).finished == {1, 9}


def test_a_flipped_byte_costs_its_batch_and_those_after_it(path):
    journal = journal_of(path, 1)
    first = path.stat().st_size
    journal.append(finished(2))
    journal.close()
    data = bytearray(path.read_bytes())
    data[first + (len(data) - first) * 3 // 4] ^= 0xFF
    path.write_bytes(data)
    assert Journal.open(path, {}).finished == {1}


@pytest.mark.parametrize("garbage", [b"", b"not arrow at all", b"\x00" * 4096])
def test_a_file_that_is_no_journal_starts_anew(path, garbage):
    path.write_bytes(garbage)
    assert Journal.open(path, {}).finished == set()


def test_zeros_after_a_power_cut_end_the_journal(path):
    journal_of(path, 1)
    with path.open("ab") as file:
        file.write(b"\x00" * 4096)
    assert Journal.open(path, {}).finished == {1}


def test_a_former_owner_that_still_lives_can_not_write_into_it(path):
    former = journal_of(path, 1)
    owner = Journal.open(path, {})
    former.append(finished(5))
    former.sync()
    owner.append(finished(2))
    owner.close()
    assert Journal.open(path, {}).finished == {1, 2}


def test_a_value_that_its_column_can_not_hold_rejects_its_record_and_no_other(path):
    columns = {"score": pa.int64()}
    journal = Journal.open(path, columns)
    journal.append(finished(1))
    journal.append(type(finished(2))(2, kept=[kept("2") | {"score": "many"}]))
    journal.sync()
    good, bad = journal.table().to_pylist()
    assert [row["id"] for row in good["kept"]] == ["1/0"]
    assert (bad["kept"], bad["rejected"][0]["id"], bad["rejected"][0]["reason"]) == ([], "2", "unwritable")
    assert (journal.kept, journal.rejected) == (1, 1)


def test_a_full_disk_loses_nothing_that_can_still_be_written(path):
    journal = journal_of(path, 1)
    journal.append(finished(2))
    full = _FullDisk(journal._file)
    journal._file = full
    with pytest.raises(OSError, match="No space left"):
        journal.sync()
    journal._file = full.file
    journal.close()
    assert Journal.open(path, {}).finished == {1, 2}


class _FullDisk:
    """A file on a disk that takes some bytes and then no more."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        self.file.write(data[:50])
        self.file.flush()
        raise OSError(28, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)
