"""The manifest of a run: its identity, its shard plan and the state of each shard (`manifest.json`).

It may lag behind the shards by some seconds, never the reverse. Each shard has a note about itself (shard.py), from
which shards committed after the last write are found.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
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
    """A configuration that generated records. `retries` counts its retries of rejected records."""

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
    """A manifest that this version can't continue. The message says why."""


@dataclass
class Manifest:
    """`identity` is the part of the configuration that decides the data; `shards` is the plan so far; `num_records` is
    None if all records of the source are wanted; `license` is the model's, for the card.

    In a slice's folder, `slice` is its number, all shards have `shard_size` records, and `num_records` is that of the
    whole run.

    After resume=force or retry, records of `earlier` configurations remain.
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
    again: set[int] = field(default_factory=set)  # committed shards with records to run again; not written
    _lines: dict[int, tuple[ShardSummary, str]] = field(default_factory=dict, repr=False, compare=False)  # cache

    @property
    def configuration(self) -> Configuration:
        """The current one."""
        return Configuration(self.identity, self.versions, self.license, self.retries)

    @property
    def configurations(self) -> list[Configuration]:
        """All of them, the current one last."""
        return [*self.earlier, self.configuration]

    def change(self, to: Configuration) -> None:
        """Use another configuration from now on."""
        known = {
            configuration.fingerprint: configuration
            for configuration in self.configurations
            if configuration.fingerprint != to.fingerprint
        }
        self.earlier = list(known.values())
        self.identity, self.versions, self.license, self.retries = to.identity, to.versions, to.license, to.retries

    def snapshot(self) -> "Manifest":
        """A copy that stays as it is while the run goes on."""
        return replace(
            self,
            shards=list(self.shards),
            committed=dict(self.committed),
            earlier=list(self.earlier),
            again=set(self.again),
            _lines={},
        )

    def adopt(self, part: "Manifest") -> None:
        """Add a slice's shards and their configurations to this run."""
        known = {configuration.fingerprint for configuration in self.configurations}
        self.earlier += [
            configuration for configuration in part.configurations if configuration.fingerprint not in known
        ]
        self.again |= part.again

    def withdraw(self) -> bool:
        """Drop the current configuration, which has generated nothing. Returns whether there was one before it."""
        changed = bool(self.earlier) and not any(self.fingerprint in summary.made_by for summary in self.summaries)
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
        """How many of the run's first `records` records belong to this folder: all, except in a slice."""
        if self.slice is None or records is None:
            return records
        return self.slice.count(records, self.shard_size)

    @property
    def fingerprint(self) -> str:
        return self.configuration.fingerprint

    @property
    def fingerprints(self) -> set[str]:
        """Of all configurations that have rows: more than one after resume=force."""
        return {self.fingerprint, *(summary.fingerprint for summary in self.summaries)}

    @property
    def summaries(self) -> list[ShardSummary]:
        """The committed shards in order."""
        return [self.committed[index] for index in sorted(self.committed)]

    @property
    def reasons(self) -> Counter[str]:
        """Rejections by `step: reason`."""
        return sum((Counter(summary.reasons) for summary in self.summaries), Counter())

    @property
    def spent(self) -> dict[str, dict[str, Spent]]:
        """Tokens and time of calls, by `kept` or `step: reason` and by step."""
        total: dict[str, dict[str, Spent]] = {}
        for summary in self.summaries:
            for end, steps in summary.spent.items():
                add_spent(total.setdefault(end, {}), steps)
        return total

    def damaged(self, folder: RunFolder) -> dict[int, Path]:
        """Committed shards with changed or missing files, and the first such file of each. Reads all files."""
        with ThreadPoolExecutor() as threads:
            found = threads.map(lambda summary: damaged_file(folder, summary), self.summaries)
            return {one.index: path for one, path in zip(self.summaries, found, strict=True) if path}

    def write(self, folder: RunFolder) -> None:
        """Raises OSError. Lines of committed shards are cached, since they don't change."""
        content = {"version": VERSION, "fingerprint": self.fingerprint} | {key: getattr(self, key) for key in _KEYS}
        if self.retries:
            content["retries"] = self.retries
        if self.earlier:
            content["earlier"] = [vars(configuration) for configuration in self.earlier]
        if self.slice is not None:
            content |= {"slice": str(self.slice), "shard_size": self.shard_size}
        write_sealed(folder.manifest, content, lines=("shards", map(self._line, self.shards)))

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
        """The folder's manifest, updated with shards that were committed after it; None if there is none.

        Raises Unreadable.
        """
        try:
            content = read_sealed(folder.manifest)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{folder.manifest}: can't be read ({error})") from None
        except Damaged as error:
            raise Unreadable(_other_version(folder.manifest) or str(error)) from None
        if content["version"] != VERSION:
            raise Unreadable(str(_other_version(folder.manifest)))
        earlier = [Configuration(**one) for one in content.get("earlier", [])]
        manifest = cls(**{key: content[key] for key in _KEYS}, earlier=earlier, retries=content.get("retries", 0))
        if content["fingerprint"] != manifest.fingerprint:
            raise Unreadable(f"{folder.manifest}: is damaged, its fingerprint does not match its identity")
        if "slice" in content:
            manifest.slice, manifest.shard_size = Slice.parse(content["slice"]), content["shard_size"]
        for entry in content["shards"]:
            shard = Shard(
                entry["index"],
                entry["start"],
                entry.get("planned_stop") or entry["stop"],
            )
            manifest.shards.append(shard)
            if entry.pop("state") == "committed":
                manifest.committed[shard.index] = ShardSummary(**entry)
        manifest.take_up_committed(folder)
        return manifest

    def take_up_committed(self, folder: RunFolder) -> list[ShardSummary]:
        """Add shards whose notes say that they are committed. Returns the added ones."""
        earlier = [configuration.fingerprint for configuration in self.earlier]
        unheard = [shard for shard in self.shards if shard.index not in self.committed or shard.index in self.again]
        found = [summary for shard in unheard if (summary := committed(folder, shard, self.fingerprint, earlier))]
        # A shard to run again has been if the current configuration generated it.
        found = [
            summary for summary in found if summary.index not in self.again or summary.fingerprint == self.fingerprint
        ]
        self.committed |= {summary.index: summary for summary in found}
        self.again -= {summary.index for summary in found}
        return found


def recover(folder: RunFolder, manifest: Manifest) -> bool:
    """Rebuild a lost manifest from the notes of shards and journals. Returns whether there were any. Raises Unreadable
    if one is of another run."""
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
            break  # of another plan: the following shards are run again
        ends = [first + (start - first) * place // (between or 1) for place in range(between + 1)]
        shards += [Shard(len(shards) + place, *ends[place : place + 2]) for place in range(between)]
        shards.append(Shard(number, start, stop))
    manifest.shards = shards
    found = ((shard.index, committed(folder, shard, manifest.fingerprint)) for shard in shards)
    manifest.committed = {index: summary for index, summary in found if summary}
    return bool(ranges)


def _owner(path: Path) -> tuple[str, int, int] | None:
    """The run and records of a note or journal, as far as they are readable."""
    try:
        if path.suffix == ".json":
            content = read_sealed(path)
            return content["fingerprint"], content["start"], content.get("planned_stop") or content["stop"]
        fingerprint, start, stop = (owner_in(path) or "").split()
        return fingerprint, int(start), int(stop)
    except (OSError, Damaged, KeyError, ValueError):
        return None


def _other_version(path: Path) -> str | None:
    """The error for a manifest of another Synth version; None if it is none. The first versions had no checksum."""
    try:
        version = json.loads(path.read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if version == VERSION:
        return None
    return f"{path}: has version {version!r}, this Synth reads {VERSION}; use the Synth that started the run"


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The dotted keys in which two identities differ, with both values; None stands for a missing key."""
    first, second = dict(_flat(one)), dict(_flat(other))
    keys = sorted(first.keys() | second.keys())
    return [(key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)]


def describe(differing: Sequence[tuple[str, Any, Any]], most: int = 3) -> str:
    """The first `most` of them, in one line."""
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
