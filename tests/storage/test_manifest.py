"""The manifest: read back as written, and caught up with shards that are newer than it."""

import json
import os
import socket
from dataclasses import replace

import pytest

from synth.records import Shard
from synth.storage.journal import Journal
from synth.storage.manifest import Manifest, Unreadable, differing_keys
from synth.storage.run_folder import InUse, RunFolder
from synth.storage.sealed import read_sealed, write_sealed
from synth.storage.shard import ShardSummary, commit
from tests.storage.rows import finished


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    return folder


def a_manifest():
    shards = [Shard(0, 0, 2), Shard(1, 2, 4)]
    return Manifest({"seed": 1, "model": {"path": "demo"}}, {"score": "int64"}, {}, 4, shards=shards)


def commit_shard(folder, manifest, shard):
    journal = Journal.open(folder.journal(shard.index), {})
    journal.append(finished(shard.start))
    return commit(folder, shard, journal, {}, manifest.fingerprint)


def test_a_manifest_is_read_back_as_it_was_written(folder):
    manifest = a_manifest()
    manifest.committed[0] = commit_shard(folder, manifest, manifest.shards[0])
    manifest.write(folder)
    assert Manifest.read(folder) == manifest


def test_a_shard_that_is_committed_anew_is_written_anew(folder):
    manifest = a_manifest()
    manifest.committed[0] = commit_shard(folder, manifest, manifest.shards[0])
    manifest.write(folder)
    manifest.committed[0] = replace(manifest.committed[0], kept=7)
    manifest.write(folder)
    assert Manifest.read(folder).committed[0].kept == 7
    del manifest.committed[0]
    folder.note(0).unlink()
    manifest.write(folder)
    assert Manifest.read(folder).committed == {}


def test_a_shard_that_was_committed_after_the_manifest_is_found(folder):
    manifest = a_manifest()
    manifest.write(folder)
    summary = commit_shard(folder, manifest, manifest.shards[1])
    assert Manifest.read(folder).committed == {1: summary}


def test_a_committed_shard_whose_file_is_gone_is_damaged(folder):
    manifest = a_manifest()
    manifest.committed[0] = commit_shard(folder, manifest, manifest.shards[0])
    manifest.write(folder)
    folder.shard(0).unlink()
    assert Manifest.read(folder).damaged(folder) == {0: folder.shard(0)}


def test_a_folder_without_a_manifest_holds_no_run(folder):
    assert Manifest.read(folder) is None


@pytest.mark.parametrize("version", [2, 99])
def test_a_manifest_of_another_version_is_refused(folder, version):
    a_manifest().write(folder)
    told = read_sealed(folder.manifest) | {"version": version}
    for write in (write_sealed, lambda path, told: path.write_text(json.dumps(told))):
        write(folder.manifest, told)
        with pytest.raises(Unreadable, match=f"version {version}, this Synth reads 3"):
            Manifest.read(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 3}', "\udcff"])
def test_a_damaged_manifest_is_refused(folder, text):
    folder.manifest.write_text(text, errors="surrogateescape")
    with pytest.raises(Unreadable, match=r"manifest\.json"):
        Manifest.read(folder)


def test_the_fingerprint_depends_on_values_and_not_on_their_order():
    one, other = a_manifest(), a_manifest()
    other.identity = {"model": {"path": "demo"}, "seed": 1}
    assert one.fingerprint == other.fingerprint
    other.identity = {"model": {"path": "demo"}, "seed": 2}
    assert one.fingerprint != other.fingerprint


def test_differing_keys_are_dotted_and_have_both_values():
    one = {"model": {"path": "a", "dtype": "auto"}, "steps": [{"n": 1}]}
    other = {"model": {"path": "b", "dtype": "auto"}, "steps": [{"n": 1}, {"n": 2}]}
    assert differing_keys(one, other) == [("model.path", "a", "b"), ("steps[1].n", None, 2)]


def test_a_folder_has_one_owner_at_a_time_and_says_who(folder):
    owner = rf"process {os.getpid()} on {socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    with folder.locked(), pytest.raises(InUse, match=owner), RunFolder(folder.path).locked():
        pass
    with folder.locked():
        pass


def test_what_a_killed_process_left_unfinished_is_cleared(folder):
    left = folder.shard(0).with_name(".00000.arrow.host.123")
    left.write_bytes(b"half a shard")
    folder.shard(1).write_bytes(b"")
    with folder.locked():
        folder.clear()
    assert list(left.parent.iterdir()) == [folder.shard(1)]


def test_one_flipped_bit_anywhere_in_a_manifest_is_refused_in_one_line(folder):
    manifest = a_manifest()
    manifest.committed[0] = commit_shard(folder, manifest, manifest.shards[0])
    manifest.write(folder)
    whole = folder.manifest.read_bytes()
    for place in range(len(whole)):
        folder.manifest.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(Unreadable) as caught:
            Manifest.read(folder)
        assert str(caught.value).startswith(f"{folder.manifest}: ") and "\n" not in str(caught.value)


def test_a_shard_that_was_committed_short_is_read_back_with_both_its_ends(tmp_path):
    folder = RunFolder(tmp_path)
    folder.make()
    manifest = Manifest({"seed": 0}, {}, {}, 5, shards=[Shard(0, 0, 10), Shard(1, 10, 20)])
    manifest.committed[0] = ShardSummary(index=0, start=0, stop=7, kept=5, rejected=2, planned_stop=10)
    manifest.write(folder)
    again = Manifest.read(folder)
    assert again.shards == manifest.shards
    assert (again.committed[0].start, again.committed[0].stop) == (0, 7)
