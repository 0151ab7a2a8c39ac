"""A dataset on the Hub as a source: the real client against a stand-in of the Hub, which tests can't reach."""

import json
import os
import subprocess
import sys

import datasets
import pyarrow as pa
import pytest

from synth.errors import ConfigError
from synth.sources.hub import Hub
from tests.hub_stand_in import HubStandIn

DATA = datasets.Dataset.from_list([{"a": n} for n in range(600)])


@pytest.mark.parametrize("data", [DATA, DATA.to_iterable_dataset()])
def test_rows_are_those_of_the_split(monkeypatch, data):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **keys: asked.append((names, keys)) or data)
    assert [row["a"] for row in Hub(name="some/data", split="test").read()] == list(range(600))
    assert asked == [(("some/data", None), {"split": "test", "revision": None, "streaming": False})]


def test_json_columns_and_bad_rows_are_as_in_files(monkeypatch):
    table = pa.table({"meta": pa.array(['{"k": 1}', "{", None], pa.json_())})
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **keys: datasets.Dataset(table))
    reason = "the column 'meta' has JSON that can't be read: Expecting property name enclosed in double quotes: "
    first, bad, last = Hub(name="some/data").read()
    assert (first, last) == ({"meta": {"k": 1}}, {"meta": None})
    assert (bad.file, bad.line) == ("some/data", 2) and bad.reason.startswith(reason)


def test_a_name_that_can_not_be_loaded_is_one_line(monkeypatch):
    def fail(*names, **keys):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'some/data' doesn't exist\nor is offline")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ConfigError) as caught:
        next(Hub(name="some/data").read())
    expected = "source.name: 'some/data' can't be loaded from the Hub: Dataset 'some/data' doesn't exist"
    assert str(caught.value) == expected


@pytest.fixture(scope="module")
def hub():
    lines = "".join(json.dumps({"instruction": f"Say {n}."}) + "\n" for n in range(5))
    card = b"---\nlicense: mit\n---\n"
    with HubStandIn({"some/data": {"data/train-00000.jsonl": lines.encode(), "README.md": card}}) as hub:
        yield hub


def read(hub, folder, *, name="some/data", streaming=False):
    """The rows, read in a process of their own: the client looks for its Hub and its cache where it is imported."""
    script = f"""
from synth.sources.hub import Hub
print(*[row["instruction"] for row in Hub(name={name!r}, streaming={streaming}).read()], sep="|")
"""
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder), "HF_HUB_OFFLINE": "0"}
    return subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_is_read_from_the_hub(hub, tmp_path, streaming):
    done = read(hub, tmp_path, streaming=streaming)
    assert done.stdout.strip() == "Say 0.|Say 1.|Say 2.|Say 3.|Say 4.", done.stderr


@pytest.mark.slow
def test_a_dataset_that_is_not_there_is_named(hub, tmp_path):
    done = read(hub, tmp_path, name="some/other")
    assert "source.name: 'some/other' can't be loaded from the Hub" in done.stderr
