"""The calls that another run has kept, by record number, for a run that makes the same calls.

Whether models and seed are the same is checked in resumption/reuse.py. The other run's folder is not changed.
"""

from collections.abc import Sequence

from synth.records import Record, Shard
from synth.storage.calls import CallJournal
from synth.storage.journal import owner_of
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder


class ReusedCalls:
    """Raises Unreadable if the folder's manifest is damaged."""

    def __init__(self, folder: RunFolder):
        manifest = Manifest.read(folder)
        self._folder = folder
        self._shards: Sequence[Shard] = manifest.shards if manifest else []
        self._fingerprint = manifest.fingerprint if manifest else ""

    @property
    def has_any(self) -> bool:
        return any(self._folder.calls(shard.index).exists() for shard in self._shards)

    def of(self, shard: Shard) -> dict[int, dict[bytes, Record]]:
        """The calls of a shard's records, in whatever shards the other run had them."""
        found: dict[int, dict[bytes, Record]] = {}
        wanted = range(shard.start, shard.stop)
        for one in self._shards:
            if one.start < shard.stop and shard.start < one.stop:
                path, owner = self._folder.calls(one.index), owner_of(one, self._fingerprint)
                calls = CallJournal.kept(path, owner, wanted)
                found |= {number: calls.take(number) for number in wanted if one.start <= number < one.stop}
        return found
