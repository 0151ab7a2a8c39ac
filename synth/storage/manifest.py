"""A run's identity, its shard plan, and the state of each shard: `manifest.json`.

The manifest may lag behind the shards by some seconds, never the other way round: shards explain themselves
(see shard.py), so what was committed after the last write is found on their own word.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synth.records import Shard, Slice, Spent, add_spent
from synth.storage.append_log import owner_in
from synth.storage.run_folder import RunFolder
from synth.storage.sealed import Damaged, read_sealed, write_sealed
from synth.storage.shard import ShardSummary, committed, damaged_file

VERSION = 3
_KEYS = ("identity", "columns", "versions", "num_records", "license", "created")


@dataclass(frozen=True)
class Configuration:
    """What records were made by. `retries` is how often rejected ones were made again by the same identity."""

    identity: dict[str, Any]
    versions: dict[str, str]
    license: str | None = None
    retries: int = 0

    @property
    def fingerprint(self) -> str:
        text = _canonical(self.identity) + (f" {self.retries}" if self.retries else "")
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @property
    def model(self) -> str:
        model = self.identity.get("model", {})
        return str(model.get("name") or model.get("path"))


class Unreadable(ValueError):
    """A manifest that this version can't go on from. The message says why."""


@dataclass
class Manifest:
    """`identity` is the part of the configuration that decides the data, `shards` the plan so far, `num_records`
    None where every record of the source is wanted. `license` is the model's, for the card.

    In a slice's folder, `slice` says which it is, and all shards have `shard_size` records; `num_records` are the
    whole run's.

    A run that went on by force, or with a mended step, has records of `earlier` configurations, too.
    """

    identity: dict[str, Any]
    columns: dict[str, str]
    versions: dict[str, str]
    num_records: int | None
    license: str | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    shards: list[Shard] = field(default_factory=list)
    committed: dict[int, ShardSummary] = field(default_factory=dict)
    slice: Slice | None = None
    shard_size: int = 0
    retries: int = 0
    earlier: list[Configuration] = field(default_factory=list)
    again: set[int] = field(default_factory=set)  # committed shards of which records are to be made again; not written
    _lines: dict[int, tuple[ShardSummary, str]] = field(default_factory=dict, repr=False, compare=False)  # as written

    @property
    def configuration(self) -> Configuration:
        """The one that makes records now."""
        return Configuration(self.identity, self.versions, self.license, self.retries)

    @property
    def configurations(self) -> list[Configuration]:
        """All, the current one last."""
        return [*self.earlier, self.configuration]

    def change(self, to: Configuration) -> None:
        """Records are made by another configuration from now on."""
        known = {one.fingerprint: one for one in self.configurations if one.fingerprint != to.fingerprint}
        self.earlier = list(known.values())
        self.identity, self.versions, self.license, self.retries = to.identity, to.versions, to.license, to.retries

    def adopt(self, part: "Manifest") -> None:
        """A slice's shards are this run's by now: by whatever configurations, and with what is to be made again."""
        known = {one.fingerprint for one in self.configurations}
        self.earlier += [one for one in part.configurations if one.fingerprint not in known]
        self.again |= part.again

    def withdraw(self) -> bool:
        """The current configuration makes nothing: the one before is current again. Returns whether there was one."""
        changed = bool(self.earlier) and not any(self.fingerprint in one.made_by for one in self.summaries)
        if changed:
            *self.earlier, last = self.earlier
            self.identity, self.versions, self.license = last.identity, last.versions, last.license
            self.retries = last.retries
        return changed

    @property
    def wanted(self) -> int | None:
        """Records to keep in this folder."""
        return self.own(self.num_records)

    def own(self, records: int | None) -> int | None:
        """How many of the run's first `records` records are this folder's to make: all, but in a slice."""
        if self.slice is None or records is None:
            return records
        return self.slice.count(records, self.shard_size)

    @property
    def fingerprint(self) -> str:
        return self.configuration.fingerprint

    @property
    def fingerprints(self) -> set[str]:
        """Those of all configurations by which there are rows: more than one after resume=force."""
        return {self.fingerprint, *(one.fingerprint for one in self.summaries)}

    @property
    def summaries(self) -> list[ShardSummary]:
        """The committed shards in order."""
        return [self.committed[index] for index in sorted(self.committed)]

    @property
    def reasons(self) -> Counter[str]:
        """Rejections by `step: reason`."""
        return sum((Counter(one.reasons) for one in self.summaries), Counter())

    @property
    def spent(self) -> dict[str, dict[str, Spent]]:
        """What calls took, by `kept` or `step: reason` and by their step."""
        total: dict[str, dict[str, Spent]] = {}
        for summary in self.summaries:
            for end, steps in summary.spent.items():
                add_spent(total.setdefault(end, {}), steps)
        return total

    def damaged(self, folder: RunFolder) -> dict[int, Path]:
        """Committed shards that are not as they were committed, with the first file of each that is not. Reads all."""
        with ThreadPoolExecutor() as threads:
            found = threads.map(lambda summary: damaged_file(folder, summary), self.summaries)
            return {one.index: path for one, path in zip(self.summaries, found, strict=True) if path}

    def write(self, folder: RunFolder) -> None:
        """Raises OSError. The lines of committed shards, which don't change, are kept from one time to the next."""
        told = {"version": VERSION, "fingerprint": self.fingerprint} | {key: getattr(self, key) for key in _KEYS}
        if self.retries:
            told["retries"] = self.retries
        if self.earlier:
            told["earlier"] = [vars(one) for one in self.earlier]
        if self.slice is not None:
            told |= {"slice": str(self.slice), "shard_size": self.shard_size}
        write_sealed(folder.manifest, told, lines=("shards", map(self._line, self.shards)))

    def _line(self, shard: Shard) -> str:
        summary = self.committed.get(shard.index)
        if summary is None:
            return f'{{"index": {shard.index}, "start": {shard.start}, "stop": {shard.stop}, "state": "planned"}}'
        known, line = self._lines.get(shard.index, (None, ""))
        if known is not summary:
            line = json.dumps(vars(summary) | {"state": "committed"}, ensure_ascii=False)
            self._lines[shard.index] = summary, line
        return line

    @classmethod
    def read(cls, folder: RunFolder) -> "Manifest | None":
        """The folder's manifest, and what its shards say that were committed after it; None where there is none.

        Raises Unreadable.
        """
        try:
            told = read_sealed(folder.manifest)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{folder.manifest}: can't be read ({error})") from None
        except Damaged as error:
            raise Unreadable(_other_version(folder.manifest) or str(error)) from None
        if told["version"] != VERSION:
            raise Unreadable(str(_other_version(folder.manifest)))
        earlier = [Configuration(**one) for one in told.get("earlier", [])]
        manifest = cls(**{key: told[key] for key in _KEYS}, earlier=earlier, retries=told.get("retries", 0))
        if told["fingerprint"] != manifest.fingerprint:
            raise Unreadable(f"{folder.manifest}: is damaged, its fingerprint is not that of its identity")
        if "slice" in told:
            manifest.slice, manifest.shard_size = Slice.parse(told["slice"]), told["shard_size"]
        for one in told["shards"]:
            shard = Shard(one["index"], one["start"], one.get("planned_stop") or one["stop"])
            manifest.shards.append(shard)
            if one.pop("state") == "committed":
                manifest.committed[shard.index] = ShardSummary(**one)
        manifest.take_up_committed(folder)
        return manifest

    def take_up_committed(self, folder: RunFolder) -> list[ShardSummary]:
        """Shards that say themselves that they are committed, and of which the manifest has not heard. Returns them."""
        earlier = [one.fingerprint for one in self.earlier]
        unheard = [one for one in self.shards if one.index not in self.committed or one.index in self.again]
        found = [summary for one in unheard if (summary := committed(folder, one, self.fingerprint, earlier))]
        # One that is to be made again has been if the current configuration made it.
        found = [one for one in found if one.index not in self.again or one.fingerprint == self.fingerprint]
        self.committed |= {one.index: one for one in found}
        self.again -= {one.index for one in found}
        return found


def recover(folder: RunFolder, manifest: Manifest) -> bool:
    """Put into a new manifest what shards and journals say of themselves, where the one they had is lost. Returns
    whether there were any. Raises Unreadable where one is of another run."""
    ranges: dict[int, tuple[int, int]] = {}
    for path in sorted(folder.shards.glob("[0-9]*")):
        index, _, kind = path.name.partition(".")
        if owner := _owner(path) if kind in ("json", "journal.arrow") else None:
            fingerprint, start, stop = owner
            if fingerprint != manifest.fingerprint:
                raise Unreadable(f"{path}: is of another run, whose {folder.manifest.name} is lost")
            ranges[int(index)] = start, stop
    shards: list[Shard] = []
    for number, (start, stop) in sorted(ranges.items()):
        between, first = number - len(shards), shards[-1].stop if shards else 0
        if start - first < between or (not between and start != first):
            break  # of another plan: what follows is made again
        ends = [first + (start - first) * place // (between or 1) for place in range(between + 1)]
        shards += [Shard(len(shards) + place, *ends[place : place + 2]) for place in range(between)]
        shards.append(Shard(number, start, stop))
    manifest.shards = shards
    found = ((shard.index, committed(folder, shard, manifest.fingerprint)) for shard in shards)
    manifest.committed = {index: summary for index, summary in found if summary}
    return bool(ranges)


def _owner(path: Path) -> tuple[str, int, int] | None:
    """Of what run and which records a note or a journal is, as far as it can be told."""
    try:
        if path.suffix == ".json":
            told = read_sealed(path)
            return told["fingerprint"], told["start"], told.get("planned_stop") or told["stop"]
        fingerprint, start, stop = (owner_in(path) or "").split()
        return fingerprint, int(start), int(stop)
    except (OSError, Damaged, KeyError, ValueError):
        return None


def _other_version(path: Path) -> str | None:
    """What to say of the manifest of another Synth; None where it is none. The first ones had no checksum."""
    try:
        version = json.loads(path.read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if version == VERSION:
        return None
    return f"{path}: version {version!r}; this Synth reads version {VERSION}, go on with the one that began the run"


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The dotted keys in which two identities differ, with both values; None stands for a missing one."""
    first, second = dict(_flat(one)), dict(_flat(other))
    keys = sorted(first.keys() | second.keys())
    return [(key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)]


def told(differing: Sequence[tuple[str, Any, Any]], most: int = 3) -> str:
    """The first of them in one line."""
    more = f" and {len(differing) - most} more" if len(differing) > most else ""
    return ", ".join(f"{key} was {_short(was)}, is {_short(now)}" for key, was, now in differing[:most]) + more


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:30]}...{text[-27:]}"


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _flat(value, f"{prefix}[{index}]")
    else:
        yield prefix, node


def _canonical(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True, ensure_ascii=False, default=str)
