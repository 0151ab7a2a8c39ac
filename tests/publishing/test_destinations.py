"""What `publish` may name, and what a store's files look like while they are written."""

import os
import re
import sys

import fsspec
import pytest

from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.publishing.destinations import Store, checked, destination, is_passing, local_folder
from tests.configuration.test_config import composed
from tests.publishing.runs import FailingDisk, FailingStore, files_of


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("me/mine", "must be hub:user/name, a URL such as s3://bucket/folder, or a path that begins with / or ./"),
        ("hub:mine", "must be user/name"),
        ("hub:me/my ne", "must be user/name"),
        ("hf://datasets/me/mine", "must be hub:user/name for a dataset on the Hub"),
        ("nowhere://bucket", "Protocol not known: nowhere"),
        ("s3://key:secret@bucket/x", "must have no user, password or query"),
        ("~nobody-of-this-name/x", "there is no home directory"),
    ],
)
def test_a_destination_that_is_none_is_refused(given, expected):
    with pytest.raises(ValueError, match="^" + re.escape(expected)):
        checked(given)


def test_a_store_whose_package_is_not_installed_is_refused_with_its_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match="Install s3fs"):
        checked("s3://bucket/x")


def test_a_destination_is_refused_with_its_key_before_anything_starts(tmp_path):
    for word, told in (
        ("publish=me/mine", "publish: must be hub:user/name"),
        ("publish='nowhere://x'", "publish: Protocol not known: nowhere"),
        (f"publish={tmp_path}/run/there output_dir={tmp_path}/run", f"publish: {tmp_path}/run/there is in output_dir="),
        ("publish='hub:me/mine' push_to_hub=me/mine", "publish: push_to_hub would write over it"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse(composed(*word.split()))
        assert str(caught.value).startswith(told)


def test_paths_are_local_and_those_of_stores_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_folder(checked("./there")) == tmp_path / "there" == local_folder(checked(f"file://{tmp_path}/there"))
    assert local_folder(checked("hub:me/mine")) is None and local_folder(checked("memory://there")) is None


def test_a_file_on_a_disk_gets_its_name_when_it_is_whole(tmp_path, monkeypatch):
    seen = []
    replace = os.replace

    def replaced(one, other):
        seen.append(sorted(os.listdir(tmp_path)))
        replace(one, other)

    monkeypatch.setattr(os, "replace", replaced)
    Store(str(tmp_path)).write({"README.md": b"card"})
    assert seen == [[".README.md.unfinished"]] and os.listdir(tmp_path) == ["README.md"]


def test_a_write_that_ends_halfway_leaves_no_half_of_a_file():
    store = destination("failing-disk://there")
    FailingDisk.failures, FailingDisk.after = {FailingDisk.calls: OSError("no connection")}, True
    with pytest.raises(OSError, match="no connection"):
        store.write({"README.md": b"card"})
    assert "README.md" not in store.names() and list(files_of(FailingDisk)) == [".README.md.unfinished"]


def test_data_comes_before_the_index_and_what_goes_goes_first():
    store = destination("failing://there")
    store.write({"data/train-000000.parquet": b"old", "published.json": b"old"})
    FailingStore.failures = {FailingStore.calls + 2: OSError("no connection")}
    with pytest.raises(OSError, match="no connection"):
        store.write({"published.json": b"new", "data/train-000001.parquet": b"new"}, ["data/train-000000.parquet"])
    assert files_of(FailingStore) == {"data/train-000001.parquet": b"new", "published.json": b"old"}


def test_a_failure_of_the_network_may_pass_and_a_refusal_does_not():
    class EndpointConnectionError(Exception):
        """As botocore's, which is no OSError."""

    class Answer:
        def __init__(self, status):
            self.status_code = status

    def answered(status):
        error = Exception("the server says")
        error.response = Answer(status)
        return error

    passing = [ConnectionResetError(), TimeoutError(), EndpointConnectionError(), answered(503), answered(429)]
    assert all(map(is_passing, passing))
    assert not any(map(is_passing, [PermissionError(), ValueError(), answered(401), answered(403)]))


def test_a_place_where_nothing_is_has_no_files():
    assert destination("failing://nothing/there").names() == []
    assert not fsspec.filesystem("failing").exists("/nothing")
