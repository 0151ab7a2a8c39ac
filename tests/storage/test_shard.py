"""Committed shards: whole files that explain themselves."""

from dataclasses import replace

import pyarrow as pa
import pytest

from synth.records import Duplicate, Finished, Shard, Spent
from synth.storage import journal as module
from synth.storage.journal import Journal
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit, committed, damaged_file
from tests.error_lines import check_line
from tests.storage.limits import file_size_limit
from tests.storage.rows import finished, kept

SHARD = Shard(0, 0, 3)
ENDS = ["id", "rejected_by", "reason", "detail"]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    return folder


def commit_records(folder, *records, fingerprint="abc", duplicates=()):
    journal = Journal.open(folder.journal(0), {})
    for record in records:
        journal.append(record)
    return commit(folder, SHARD, journal, {}, fingerprint, duplicates)


def read(path):
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()


def test_rows_are_ordered_by_record_number(folder):
    commit_records(folder, finished(2), finished(0, rows=2), finished(1, rows=0, rejections=1))
    assert read(folder.shard(0))["id"].to_pylist() == ["0/0", "0/1", "2/0"]
    assert read(folder.rejected(0))["id"].to_pylist() == ["1/0"]


def test_the_journal_is_gone_after_the_commit(folder):
    commit_records(folder, finished(0), finished(1), finished(2))
    assert sorted(path.name for path in folder.shard(0).parent.iterdir()) == [
        "00000.arrow",
        "00000.json",
        "00000.rejected.arrow",
    ]


def test_a_summary_counts_rows_reasons_and_tokens(folder):
    summary = commit_records(folder, finished(0), finished(1, rows=1, rejections=2), finished(2))
    assert (summary.kept, summary.rejected) == (3, 2)
    assert summary.reasons == {"test: empty_response": 2}
    assert (summary.prompt_tokens, summary.cached_tokens) == (15, 5)
    assert (summary.completion_tokens, summary.wasted_tokens) == (25, 10)


def test_kept_rows_of_duplicates_are_rejected_ones_with_their_cost(folder):
    records = [finished(number, rows=2, rejections=1) for number in range(3)]
    lost = [Duplicate("repeated", "near_duplicate", (2,), (0,)), Duplicate("again", "exact_duplicate", (1, 1), (0, 1))]
    summary = commit_records(folder, *records, duplicates=lost)
    assert read(folder.shard(0))["id"].to_pylist() == ["0/0", "0/1", "1/0"]
    ends = [tuple(row.values()) for row in read(folder.rejected(0)).select(ENDS).to_pylist()]
    assert ends == [
        ("0/2", "test", "empty_response", None),
        ("1/1", "again", "exact_duplicate", "like 0/1"),
        ("1/2", "test", "empty_response", None),
        ("2/0", "repeated", "near_duplicate", "like 0"),
        ("2/1", "repeated", "near_duplicate", "like 0"),
        ("2/2", "test", "empty_response", None),
    ]
    assert (summary.kept, summary.rejected, summary.wasted_tokens) == (3, 6, 30)
    assert summary.reasons["repeated: near_duplicate"] == 2


def test_what_calls_took_is_summed_by_the_end_of_their_row_and_by_step(folder):
    def spent(*ids):
        return {id: {"test": Spent(1, 3, 1, 5, 0.5), "judge": Spent(2, 6, 2, 2, 0.25)} for id in ids}

    records = [
        replace(finished(0), spent=spent("0/0")),
        replace(finished(1, rows=1, rejections=1), spent=spent("1/0", "1/1")),
        replace(finished(2), spent=spent("2/0")),
    ]
    summary = commit_records(folder, *records, duplicates=[Duplicate("again", "exact_duplicate", (2,), (0,))])
    once = {"test": Spent(1, 3, 1, 5, 0.5), "judge": Spent(2, 6, 2, 2, 0.25)}
    assert summary.spent == {
        "kept": {step: one + one for step, one in once.items()},
        "test: empty_response": once,
        "again: exact_duplicate": once,
    }
    assert committed(folder, SHARD, "abc") == summary


def test_one_flipped_bit_anywhere_in_a_note_makes_it_none_and_is_said(folder, caplog):
    commit_records(folder, finished(0))
    note = folder.note(0).read_bytes()
    for place in range(len(note)):
        caplog.clear()
        folder.note(0).write_bytes(note[:place] + bytes([note[place] ^ 1 << place % 8]) + note[place + 1 :])
        assert committed(folder, SHARD, "abc") is None
        [line] = caplog.messages
        check_line(line, str(folder.note(0)), "damaged", "00000.arrow")


def test_a_shard_explains_itself_without_a_manifest(folder):
    assert commit_records(folder, finished(0)) == committed(folder, SHARD, "abc")


@pytest.mark.parametrize(
    ("shard", "fingerprint", "whose"),
    [(SHARD, "other", "of another run"), (Shard(0, 0, 4), "abc", "of another shard")],
)
def test_a_shard_of_another_run_or_other_records_does_not_count(folder, caplog, shard, fingerprint, whose):
    commit_records(folder, finished(0))
    assert committed(folder, shard, fingerprint) is None
    [line] = caplog.messages
    check_line(line, str(folder.note(0)), whose, "00000.arrow")


def test_a_note_of_another_shard_does_not_count(folder):
    commit_records(folder, finished(0))
    for path in folder.shards.glob("00000*"):
        path.rename(path.with_name(path.name.replace("00000", "00001")))
    assert committed(folder, replace(SHARD, index=1), "abc") is None


def test_a_shard_whose_kept_rows_are_lost_is_said_unless_its_commit_was_broken_off(folder, caplog):
    commit_records(folder, finished(0))
    folder.shard(0).unlink()
    assert committed(folder, SHARD, "abc") is None
    [line] = caplog.messages
    check_line(line, str(folder.shard(0)), "lost")
    caplog.clear()
    Journal.open(folder.journal(0), {}).close()
    assert committed(folder, SHARD, "abc") is None and not caplog.messages


def test_who_lost_a_shard_to_another_worker_can_not_commit_it(folder):
    former = Journal.open(folder.journal(0), {})
    former.append(finished(1))
    former.sync()
    owner = Journal.open(folder.journal(0), {})
    with pytest.raises(OSError, match="taken over by another worker"):
        commit(folder, SHARD, former, {}, "abc")
    assert not folder.shard(0).exists()
    owner.append(finished(2))
    commit(folder, SHARD, owner, {}, "abc")
    assert read(folder.shard(0))["id"].to_pylist() == ["1/0", "2/0"]


@pytest.mark.parametrize("name", ["00000.arrow", "00000.rejected.arrow"])
def test_one_flipped_byte_anywhere_is_damage(folder, name):
    summary = commit_records(folder, finished(0, rejections=1))
    path = folder.shard(0).with_name(name)
    data = path.read_bytes()
    assert damaged_file(folder, summary) is None
    for place in range(0, len(data), 97):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert damaged_file(folder, summary) == path
        assert committed(folder, SHARD, "abc") is None
    path.unlink()
    assert damaged_file(folder, summary) == path


@pytest.mark.parametrize("note", ["", "[]", "{}", "null", '{"fingerprint": "abc"}', "\udcff"])
def test_a_shard_without_a_readable_note_does_not_count(folder, note):
    commit_records(folder, finished(0))
    folder.note(0).write_text(note, errors="surrogateescape")
    assert committed(folder, SHARD, "abc") is None


def test_rows_of_any_size_and_number_are_committed_in_small_batches(folder, monkeypatch):
    monkeypatch.setattr(module, "BATCH_BYTES", 100_000)
    journal = Journal.open(folder.journal(0), {})
    for number in range(20):
        journal.append(Finished(19 - number, kept=[kept(str(19 - number), "x" * 30_000)]))
    journal.append(finished(20, rows=2500))
    summary = commit(folder, SHARD, journal, {}, "abc")
    assert summary.kept == 2520
    with pa.memory_map(str(folder.shard(0))) as file, pa.ipc.open_stream(file) as reader:
        batches = list(reader)
    assert max(map(len, batches)) <= 1000
    assert max(batch.nbytes for batch in batches if batch["id"][0].as_py().isdigit()) < 200_000
    assert [row["id"] for batch in batches for row in batch.to_pylist()][:20] == [str(n) for n in range(20)]


def test_no_room_for_a_shard_leaves_its_journal(folder, monkeypatch):
    journal = Journal.open(folder.journal(0), {})
    journal.append(finished(0, rows=200))
    journal.sync()
    with file_size_limit(folder.journal(0).stat().st_size // 2), pytest.raises(OSError, match="File too large"):
        commit(folder, SHARD, journal, {}, "abc")
    journal.close()
    assert sorted(path.name for path in folder.shard(0).parent.iterdir()) == ["00000.journal.arrow"]
    assert commit(folder, SHARD, Journal.open(folder.journal(0), {}), {}, "abc").kept == 200


def test_a_shard_without_a_kept_row_is_a_shard(folder):
    summary = commit_records(folder, finished(0, rows=0, rejections=1))
    assert (summary.kept, len(read(folder.shard(0)))) == (0, 0)


def test_text_columns_are_null_and_never_missing(folder):
    commit_records(folder, finished(0))
    table = read(folder.shard(0))
    assert table["system_prompt"].to_pylist() == [None]
    assert table.schema.field("seed").type == pa.int64()
