"""What a run's folder does on file systems that lack something."""

import errno
import fcntl
import os

import pytest

from synth.sources.store import stored
from synth.storage.run_folder import RunFolder, sync_folder
from tests.sources.test_store import ListSource, all_rows


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS])
def without_locks(monkeypatch, request):
    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize("shared", [False, True])
def test_without_locks_a_run_has_its_folder_and_says_that_others_may_have_it_too(tmp_path, caplog, shared):
    folder = RunFolder(tmp_path)
    folder.make()
    with folder.locked(shared):
        assert "its file system has no locks, so a second run is not kept out" in caplog.text


@pytest.mark.usefixtures("without_locks")
def test_without_locks_each_slice_reads_the_source_for_itself(tmp_path):
    source = ListSource([{"a": 1}])
    for name in ("0", "1"):
        with stored(source, tmp_path / name / "source", tmp_path / "source") as (_, put_in_place):
            put_in_place()
        assert all_rows(tmp_path / name / "source", 1) == [{"a": 1}]
    assert source.read_times == 2 and not (tmp_path / "source").exists()


@pytest.mark.parametrize(("number", "fails"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_can_not_be_synced_is_no_failure_but_a_broken_disk_is(tmp_path, monkeypatch, number, fails):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if fails:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)
