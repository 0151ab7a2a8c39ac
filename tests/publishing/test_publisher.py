"""What is published is a first part of the dataset at any moment, and the dataset in the end, whatever fails."""

import os
import subprocess
import sys

import datasets
import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth.publishing import publisher as publishing
from synth.publishing.destinations import Unpublishable
from synth.publishing.index import Index
from synth.schedule.publishing import publish_rest
from tests.publishing.runs import FailingDisk, FailingStore, GrowingRun, files_of, is_data, rows_of, twice

THERE = "failing://there"


@pytest.fixture(autouse=True)
def always_due(monkeypatch):
    monkeypatch.setattr(publishing, "INTERVAL_S", 0.0)
    monkeypatch.setattr(publishing, "SHARE", 0.0)


def ids(store=FailingStore):
    return [row["id"] for row in rows_of(files_of(store))]


def begun(run, to=THERE):
    publisher = run.publisher(to)
    publisher.check(run.manifest.wanted)
    publisher.begin(run.manifest)
    return publisher


def streamed(folder):
    rows = datasets.load_dataset(str(folder), split="train", streaming=True)
    return [row["id"] for row in rows]


def test_rows_are_there_as_soon_as_they_are_final_and_those_above_a_gap_wait(tmp_path):
    run = GrowingRun(tmp_path)
    publisher = begun(run)
    assert ids() == []
    run.commit(1)
    publisher.advance(run.manifest)
    assert ids() == []
    run.commit(0)
    publisher.advance(run.manifest)
    assert ids() == [str(number) for number in range(8)]


def test_datasets_streams_what_is_there_at_every_moment(tmp_path):
    there = tmp_path / "there"
    run = GrowingRun(tmp_path / "run")
    publisher = begun(run, str(there))
    assert streamed(there) == []
    for index in range(6):
        run.commit(index)
        publisher.advance(run.manifest)
        assert streamed(there) == [str(number) for number in range(4 * (index + 1))]
    loaded = datasets.load_dataset(str(there), split="train", cache_dir=str(tmp_path / "cache"))
    rows = run.merged()
    assert loaded.to_list() == rows and loaded.features == datasets.load_from_disk(str(run.folder.dataset)).features


def test_the_card_is_true_at_every_moment(tmp_path):
    run = GrowingRun(tmp_path, num_records=24, rejects=[1, 9])
    publisher = begun(run)
    for index, (rows, rejected) in enumerate([(3, 1), (7, 1), (10, 2)]):
        run.commit(5 - index)  # not published, and not counted
        run.commit(index)
        publisher.advance(run.manifest)
        card = files_of(FailingStore)["README.md"].decode()
        if index < 2:
            assert f"| rows | {rows} |" in card and f"| rejected | {rejected} |" in card and "Not finished" in card
    run.merged()
    assert publish_rest(publisher, run.manifest, run.folder.card.read_text()) is None
    card = files_of(FailingStore)["README.md"].decode()
    assert "| rows | 22 |" in card and "Not finished" not in card and "data/train-*.parquet" in card


def test_no_more_than_num_records_are_published(tmp_path):
    run = GrowingRun(tmp_path, num_records=10)
    publisher = begun(run)
    run.commit_all()
    publisher.advance(run.manifest)
    assert ids() == [str(number) for number in range(10)] == [row["id"] for row in run.merged()]


def test_a_run_that_is_extended_leaves_every_published_file_as_it_is(tmp_path):
    run = GrowingRun(tmp_path, num_records=10)
    run.commit(0)
    run.commit(1)
    run.commit(2, stop=11)
    publisher = begun(run)
    assert publish_rest(publisher, run.manifest) is None
    before = files_of(FailingStore)
    run.manifest.num_records = 19
    run.commit_all()
    again = begun(run)
    assert publish_rest(again, run.manifest) is None
    after = files_of(FailingStore)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"README.md", "published.json"}
    assert rows_of(after) == run.merged() and len(ids()) == 19


def test_fewer_records_than_are_published_are_refused(tmp_path):
    run = GrowingRun(tmp_path, num_records=12)
    run.commit_all()
    publish_rest(begun(run), run.manifest)
    with pytest.raises(Unpublishable, match="has 12 rows of this run, and num_records=7 asks for fewer"):
        run.publisher(THERE).check(7)


def test_records_that_are_run_again_change_their_file_when_they_are_finished_and_no_other(tmp_path):
    run = GrowingRun(tmp_path, num_records=20, rejects=[5, 13])
    publisher = begun(run)
    for index in range(6):
        run.commit(index)
        publisher.advance(run.manifest)
    before = files_of(FailingStore)
    run.rejects = set()
    run.manifest.again = {1, 3}
    publisher.advance(run.manifest, last=True)
    assert {name for name in before if is_data(name)} == {name for name in files_of(FailingStore) if is_data(name)}
    run.folder.journal(1).unlink(missing_ok=True)
    run.commit(1)
    run.commit(3)
    assert publish_rest(publisher, run.manifest) is None
    after = files_of(FailingStore)
    assert rows_of(after) == run.merged() and len(ids()) == 20
    kept = {name for name in before if is_data(name) and before[name] == after.get(name)}
    assert {"data/train-000000.parquet", "data/train-000002.parquet"} <= kept


def test_a_file_that_is_not_there_any_more_is_written_again(tmp_path):
    run = GrowingRun(tmp_path)
    publisher = begun(run)
    for index in range(3):
        run.commit(index)
        publisher.advance(run.manifest)
    whole = files_of(FailingStore)
    fsspec.filesystem("failing").rm("/there/data/train-000001.parquet")
    publish_rest(begun(run), run.manifest)
    assert {name: data for name, data in files_of(FailingStore).items() if is_data(name)} == {
        name: data for name, data in whole.items() if is_data(name)
    }


@pytest.mark.parametrize("name", ["README.md", "data/train-00000.parquet", "data/mine.csv"])
def test_a_place_with_data_of_others_is_refused_and_left_as_it_is(tmp_path, name):
    there = tmp_path / "there"
    (there / name).parent.mkdir(parents=True)
    (there / name).write_text("mine")
    with pytest.raises(Unpublishable, match="of others"):
        GrowingRun(tmp_path / "run").publisher(str(there)).check(None)
    assert [path for path in there.rglob("*") if path.is_file()] == [there / name]


def test_a_place_with_the_rows_of_another_run_is_refused(tmp_path):
    one, other = GrowingRun(tmp_path / "one"), GrowingRun(tmp_path / "other")
    begun(one)
    with pytest.raises(Unpublishable, match="rows of another run"):
        other.publisher(THERE).check(None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "run": "x"}'])
def test_a_damaged_index_is_refused(tmp_path, content):
    run = GrowingRun(tmp_path)
    begun(run)
    FailingStore.store["/there/published.json"].truncate(0)
    fsspec.filesystem("memory").pipe_file("/x", content)
    fsspec.filesystem("failing").pipe_file("/there/published.json", content)
    with pytest.raises(Unpublishable, match=r"published\.json"):
        run.publisher(THERE).check(None)


def test_a_file_of_others_beside_the_rows_is_refused_before_anything_is_changed(tmp_path):
    run = GrowingRun(tmp_path)
    begun(run)
    fsspec.filesystem("failing").pipe_file("/there/data/train-00000.parquet", b"of a push")
    with pytest.raises(Unpublishable, match=r"data/train-00000\.parquet of others"):
        run.publisher(THERE).check(None)


def test_a_store_that_cannot_be_written_to_is_refused_and_leaves_nothing_behind(tmp_path):
    run = GrowingRun(tmp_path)
    FailingStore.failures = dict.fromkeys(range(9), PermissionError(13, "Access Denied"))
    publisher = run.publisher(THERE)
    publisher.check(None)
    with pytest.raises(Unpublishable, match="failing://there: Access Denied"):
        publisher.begin(run.manifest)
    assert not files_of(FailingStore) and not run.folder.publishing.exists()


def test_a_store_out_of_reach_is_refused_at_first_and_waited_for_later(tmp_path, monkeypatch):
    run = GrowingRun(tmp_path)
    begun(run)
    with monkeypatch.context() as patch:

        def unreachable(*_, **__):
            raise ConnectionError("no route to host")

        patch.setattr(FailingStore, "ls", unreachable)
        with pytest.raises(Unpublishable, match="no route to host"):
            GrowingRun(tmp_path / "new").publisher("failing://elsewhere").check(None)
        publisher = begun(run)
        run.commit(0)
        with pytest.raises(ConnectionError):
            publisher.advance(run.manifest)
    publisher.advance(run.manifest)
    assert len(ids()) == 4


class Killed(BaseException):
    """The end of the process, at this call."""


FAULTS = st.tuples(
    st.integers(0, 5),
    st.sampled_from([OSError("reset by peer"), TimeoutError("slow"), Exception("SlowDown"), Killed()]),
    st.booleans(),
)
CHANGES = ["next", "next", "next", "next in part", "any", "retry", "retried", "extend", "restart"]
STEPS = st.tuples(st.sampled_from(CHANGES), st.integers(0, 5), st.one_of(st.none(), FAULTS), st.booleans())


def changed(run, change, number):
    """What happens to a run between two looks of the publisher."""
    there, again = run.manifest.committed, run.manifest.again
    open_ = [shard for shard in run.manifest.shards if shard.index not in there or there[shard.index].planned_stop]
    if change == "next in part" and open_ and open_[0].index not in there:
        run.commit(open_[0].index, stop=open_[0].start + 2)
    elif change in ("next", "next in part") and open_:
        run.commit(open_[0].index)
    elif change == "any" and number not in there:
        run.commit(number)
    elif change == "extend" and run.manifest.num_records:
        run.manifest.num_records += number
    elif change == "retry" and number in there and not there[number].planned_stop:
        again.add(number)
    elif change == "retried":
        for index in sorted(again)[:1]:
            run.rejects -= set(range(there[index].start, there[index].stop))
            run.commit(index)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(STEPS, max_size=15),
    st.one_of(st.none(), st.integers(1, 20)),
    st.sets(st.integers(0, 23), max_size=6),
    st.sampled_from([FailingStore, FailingDisk]),
)
def test_whatever_fails_no_row_is_there_twice_and_in_the_end_it_is_the_dataset(
    tmp_path_factory, steps, num_records, rejects, store
):
    """Each call of a store may fail, before or after it has its effect, and each may be the process's last."""
    store.reset()
    to = f"{store.protocol[0]}://there"
    run = GrowingRun(tmp_path_factory.mktemp("run"), num_records=num_records, rejects=rejects)
    publisher = begun(run, to)
    for change, number, fault, last in steps:
        changed(run, change, number)
        if change == "restart":
            publisher = run.publisher(to)
        if fault:
            call, failure, store.after = fault
            store.failures = {store.calls + call: failure}
        try:
            publisher.advance(run.manifest, last=last)
        except Killed:
            publisher = run.publisher(to)
        except Exception:
            pass
        store.failures = {}
        assert not twice(rows_of(files_of(store)))  # nor is a file there in part
    while run.manifest.again:
        changed(run, "retried", 0)
    run.commit_all()
    last = run.publisher(to)
    last.check(run.manifest.wanted)
    assert publish_rest(last, run.manifest, sleep=lambda _: None) is None
    files = files_of(store)
    assert rows_of(files) == run.merged() and last.rows == len(run.merged())
    index = Index.parse(files["published.json"])
    assert set(files) == {"published.json", "README.md", *(file.name for file in index.files)}


def test_what_a_killed_upload_left_beyond_the_rows_that_are_wanted_is_removed(tmp_path):
    run = GrowingRun(tmp_path, num_records=4)
    run.commit_all()
    publish_rest(begun(run), run.manifest)
    whole = files_of(FailingStore)
    for name in ("train-000001.parquet", "train-000000_000009.parquet", ".train-000001.parquet.unfinished"):
        fsspec.filesystem("failing").pipe_file(f"/there/data/{name}", whole["data/train-000000.parquet"])
    publish_rest(begun(run), run.manifest)
    assert files_of(FailingStore) == whole


def test_a_shard_whose_records_are_run_again_waits(tmp_path):
    run = GrowingRun(tmp_path, rejects=[5])
    publisher = begun(run)
    run.commit(0)
    run.commit(1)
    run.commit(2)
    run.manifest.again = {1}
    publisher.advance(run.manifest)
    assert ids() == ["0", "1", "2", "3"]
    run.rejects = set()
    run.commit(1)
    publisher.advance(run.manifest)
    assert ids() == [str(number) for number in range(12)]


def test_memory_stays_flat_whatever_the_size(tmp_path):
    """200 MB of rows in ten shards, in a process that may have 150 MB more of its own than it had before."""
    script = f"""
import pathlib, re, resource
import pyarrow as pa
from datasets import Dataset
from synth.publishing.publisher import Publisher
from synth.records import Shard
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary, stream
folder = RunFolder(pathlib.Path({str(tmp_path)!r}) / "run")
folder.make()
manifest = Manifest({{}}, {{}}, {{}}, num_records=None)
for index in range(10):
    row = [{{"role": "user", "content": "word " * 400}}, {{"role": "assistant", "content": "answer " * 300}}]
    rows = pa.table({{"id": [str(n) for n in range(500)], "messages": [row] * 500}})
    with stream(folder.shard(index), rows.schema) as writer:
        for _ in range(10):
            writer.write_table(rows)
    manifest.shards.append(Shard(index, index * 5000, index * 5000 + 5000))
    summary = ShardSummary(index=index, start=index * 5000, stop=index * 5000 + 5000, kept=5000, rejected=0)
    manifest.committed[index] = summary
schema = rows.schema
del rows, row, writer
Dataset.from_file(str(folder.shard(0)))[:1]
own = int(re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + 150_000_000, -1))
publisher = Publisher(folder, {str(tmp_path / "there")!r}, schema)
publisher.begin(manifest)
publisher.advance(manifest, last=True)
print(publisher.rows)
"""
    env = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1"}  # stacks count too
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout == "50000\n", done.stderr
