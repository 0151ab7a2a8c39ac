"""A run that grows shard by shard, without workers or engines, and stores that fail when they are told to."""

from collections import Counter

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from synth.publishing.publisher import Publisher
from synth.records import Finished, Shard, as_read, dataset_schema
from synth.storage.card import write_card
from synth.storage.journal import Journal, owner_of
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder
from synth.storage.shard import commit
from tests.storage.rows import kept, rejected

NO_COLUMNS = {}


class GrowingRun:
    """A run of `shards` shards of `size` records, which wants `num_records` rows. `rejects` are the numbers of records
    that a filter rejects, for as long as nobody retries them."""

    def __init__(self, path, shards=6, size=4, num_records=None, rejects=()):
        self.folder = RunFolder(path)
        self.folder.make()
        self.rejects = set(rejects)
        identity = {"strategy": {"name": "test"}, "seed": 1}
        self.manifest = Manifest(identity, {}, {"synth": "0"}, num_records=num_records)
        self.manifest.shards = [Shard(index, index * size, (index + 1) * size) for index in range(shards)]

    def commit(self, index, stop=None, text="words"):
        """Commit a shard, up to `stop`."""
        shard = self.manifest.shards[index]
        owner = owner_of(shard, self.manifest.fingerprint)
        journal = Journal.open(self.folder.journal(index), NO_COLUMNS, owner)
        for number in range(shard.start, shard.stop if stop is None else stop):
            if number not in journal.finished:
                if number in self.rejects:
                    journal.append(Finished(number, rejected=[rejected(str(number))]))
                else:
                    journal.append(Finished(number, kept=[kept(str(number), f"{text} {number}")]))
        summary = commit(self.folder, shard, journal, NO_COLUMNS, self.manifest.fingerprint, stop=stop)
        self.manifest.committed[index] = summary
        self.manifest.again.discard(index)
        self.manifest.write(self.folder)

    def commit_all(self):
        for shard in self.manifest.shards:
            if shard.index not in self.manifest.committed or self.manifest.committed[shard.index].planned_stop:
                self.commit(shard.index)

    def merged(self):
        """The ids of its dataset."""
        count = merge([(self.folder, self.manifest)], self.folder.dataset, self.manifest.num_records)
        write_card(self.folder, [(self.folder, self.manifest)], count, self.manifest.num_records)
        return datasets.load_from_disk(str(self.folder.dataset)).to_list()

    def publisher(self, to, **keys):
        return Publisher(self.folder, to, as_read(dataset_schema({})), **keys)


class FailingStore(MemoryFileSystem):
    """A store in memory that fails. `failures` are the numbers of its next calls that change something, counted from 0,
    with the exception to raise; `after` raises it when the change is done, as where the answer is lost."""

    protocol = ("failing", "memory")
    store = {}  # noqa: RUF012 - of the class, as that of the memory
    pseudo_dirs = [""]  # noqa: RUF012
    failures = {}  # noqa: RUF012
    after = False
    calls = 0

    @classmethod
    def reset(cls):
        cls.store.clear()
        cls.pseudo_dirs[:] = [""]
        cls.failures, cls.after, cls.calls = {}, False, 0

    @classmethod
    def _strip_protocol(cls, path):  # of fsspec, for subclasses
        return MemoryFileSystem._strip_protocol(path.replace("failing://", "memory://"))

    def _changes(self, change, *given, **keys):
        failure = type(self).failures.pop(type(self).calls, None)
        type(self).calls += 1
        if failure is not None and not self.after:
            raise failure
        change(*given, **keys)
        if failure is not None:
            raise failure

    def pipe_file(self, path, value, **keys):
        self._changes(super().pipe_file, path, value, **keys)

    def put_file(self, lpath, rpath, **keys):
        self._changes(super().put_file, lpath, rpath, **keys)

    def rm_file(self, path):
        self._changes(super().rm_file, path)


class FailingDisk(FailingStore):
    """The same, where a file is seen while it is written: it has to be renamed when it is whole."""

    protocol = ("failing-disk",)
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    failures = {}  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("failing-disk://", "memory://"))


def files_of(store, folder="/there"):
    return {path.removeprefix(f"{folder}/"): bytes(file.getbuffer()) for path, file in store.store.items()}


def rows_of(files):
    """The rows that a reader gets of the files of a dataset, in the order of their names."""
    tables = [pq.read_table(pa.BufferReader(files[name])) for name in sorted(files) if is_data(name)]
    return [row for table in tables for row in table.to_pylist()]


def is_data(name):
    return name.startswith("data/train-") and name.endswith(".parquet")


def twice(rows):
    return [id for id, times in Counter(row["id"] for row in rows).items() if times > 1]
