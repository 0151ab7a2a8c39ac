"""The merge: links, not copies, and what datasets makes of them."""

import pytest
from datasets import load_from_disk

from synth.records import Shard
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest
from synth.storage.merge import Unmergeable, merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit
from tests.storage.rows import finished


def run_of(path, *shards, columns=None):
    """A run folder whose shards hold the given records' rows: run_of(path, [(0, 2), (1, 1)]) has three rows."""
    folder = RunFolder(path)
    folder.make()
    manifest = Manifest({"seed": 1}, columns or {}, {}, num_records=100)
    for index, records in enumerate(shards):
        numbers = [number for number, _ in records]
        shard = Shard(index, min(numbers), max(numbers) + 1)
        journal = Journal.open(folder.journal(index), {})
        for number, rows in records:
            journal.append(finished(number, rows, rejections=0 if rows else 1))
        manifest.shards.append(shard)
        manifest.committed[index] = commit(folder, shard, journal, {}, manifest.fingerprint)
    return folder, manifest


def test_a_dataset_loads_with_its_rows_in_record_order(tmp_path):
    run = run_of(tmp_path / "run", [(0, 1), (1, 2)], [(2, 1), (3, 0)])
    assert merge([run], run[0].dataset) == 4
    assert load_from_disk(run[0].dataset)["id"][:] == ["0/0", "1/0", "1/1", "2/0"]


def test_whole_shards_are_linked_and_not_copied(tmp_path):
    run = run_of(tmp_path / "run", [(0, 1)], [(1, 1)])
    merge([run], run[0].dataset)
    linked = {path.stat().st_ino for path in run[0].dataset.glob("*.arrow")}
    assert linked == {run[0].shard(0).stat().st_ino, run[0].shard(1).stat().st_ino}


def test_a_dataset_ends_where_enough_records_are_kept(tmp_path):
    run = run_of(tmp_path / "run", [(0, 2)], [(1, 2)], [(2, 2)])
    assert merge([run], run[0].dataset, num_records=3) == 3
    assert load_from_disk(run[0].dataset)["id"][:] == ["0/0", "0/1", "1/0"]


def test_a_shard_without_kept_rows_does_not_matter(tmp_path):
    run = run_of(tmp_path / "run", [(0, 0)], [(1, 1)])
    merge([run], run[0].dataset)
    assert load_from_disk(run[0].dataset)["id"][:] == ["1/0"]


def test_a_run_that_rejected_everything_gives_an_empty_dataset(tmp_path):
    run = run_of(tmp_path / "run", [(0, 0)])
    assert merge([run], run[0].dataset) == 0
    assert load_from_disk(run[0].dataset).column_names[:2] == ["id", "messages"]


def test_merging_again_replaces_the_dataset(tmp_path):
    run = run_of(tmp_path / "run", [(0, 1)], [(1, 1)])
    merge([run], run[0].dataset, num_records=1)
    merge([run], run[0].dataset)
    assert len(load_from_disk(run[0].dataset)) == 2
    assert [path.name for path in run[0].path.glob(".dataset*")] == [".dataset.lock"]


def test_the_same_rows_have_the_same_fingerprint(tmp_path):
    prints = []
    for name in ("one", "two"):
        run = run_of(tmp_path / name, [(0, 1)])
        merge([run], run[0].dataset)
        prints.append(load_from_disk(run[0].dataset)._fingerprint)
    assert prints[0] == prints[1]


def test_slices_of_a_run_merge_into_one_dataset(tmp_path):
    runs = [run_of(tmp_path / "a", [(0, 1), (1, 1)]), run_of(tmp_path / "b", [(2, 1), (3, 1)])]
    assert merge(runs, tmp_path / "both") == 4
    assert load_from_disk(tmp_path / "both")["id"][:] == ["0/0", "1/0", "2/0", "3/0"]


def test_records_that_two_folders_hold_are_refused(tmp_path):
    runs = [run_of(tmp_path / "a", [(0, 1), (1, 1)]), run_of(tmp_path / "b", [(1, 1)])]
    with pytest.raises(Unmergeable, match=r"b: holds records 1 to 1, and .*a does too"):
        merge(runs, tmp_path / "both")


def test_folders_with_other_columns_are_refused(tmp_path):
    runs = [run_of(tmp_path / "a", [(0, 1)]), run_of(tmp_path / "b", [(1, 1)], columns={"score": "int64"})]
    with pytest.raises(Unmergeable, match="b: column 'score' differs"):
        merge(runs, tmp_path / "both")


def test_a_run_with_nothing_committed_is_refused(tmp_path):
    with pytest.raises(Unmergeable, match="no committed shard yet"):
        merge([run_of(tmp_path / "a")], tmp_path / "dataset")
