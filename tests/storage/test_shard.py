"""Committed shards: whole files that explain themselves."""

import pyarrow as pa
import pytest

from synth.schedule.plan import Shard
from synth.storage.journal import Journal
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit, committed
from tests.storage.rows import finished

SHARD = Shard(0, 0, 3)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    return folder


def commit_records(folder, *records, fingerprint="abc"):
    journal = Journal.open(folder.journal(0), {})
    for record in records:
        journal.append(record)
    return commit(folder, SHARD, journal, {}, fingerprint)


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
        "00000.rejected.arrow",
    ]


def test_a_summary_counts_rows_reasons_and_tokens(folder):
    summary = commit_records(folder, finished(0), finished(1, rows=1, rejections=2), finished(2))
    assert (summary.kept, summary.rejected) == (3, 2)
    assert summary.reasons == {"test: empty_response": 2}
    assert (summary.prompt_tokens, summary.cached_tokens) == (15, 5)
    assert (summary.completion_tokens, summary.wasted_tokens) == (25, 10)


def test_a_shard_explains_itself_without_a_manifest(folder):
    assert commit_records(folder, finished(0)) == committed(folder, SHARD, "abc")


def test_a_shard_of_another_run_does_not_count(folder):
    commit_records(folder, finished(0))
    assert committed(folder, SHARD, "other") is None
    assert committed(folder, Shard(0, 0, 4), "abc") is None


def test_the_first_commit_of_a_shard_stays(folder):
    first = commit_records(folder, finished(0))
    assert commit_records(folder, finished(1), finished(2)) == first
    assert not folder.journal(0).exists()


def test_a_shard_without_a_kept_row_is_a_shard(folder):
    summary = commit_records(folder, finished(0, rows=0, rejections=1))
    assert (summary.kept, len(read(folder.shard(0)))) == (0, 0)


def test_text_columns_are_null_and_never_missing(folder):
    commit_records(folder, finished(0))
    table = read(folder.shard(0))
    assert table["system_prompt"].to_pylist() == [None]
    assert table.schema.field("seed").type == pa.int64()
