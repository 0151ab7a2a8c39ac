"""A dataset on the Hub as a source, with the Hub played by a function: tests have no network."""

import datasets
import pytest

from synth.components import ConfigError
from synth.sources.hub import Hub

DATA = datasets.Dataset.from_list([{"a": n} for n in range(600)])


@pytest.mark.parametrize("data", [DATA, DATA.to_iterable_dataset()])
def test_rows_are_those_of_the_split(monkeypatch, data):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **keys: asked.append((names, keys)) or data)
    assert [row["a"] for row in Hub(name="some/data", split="test").read()] == list(range(600))
    assert asked == [(("some/data", None), {"split": "test", "revision": None, "streaming": False})]


def test_a_name_that_can_not_be_loaded_is_one_line(monkeypatch):
    def fail(*names, **keys):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'some/data' doesn't exist\nor is offline")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ConfigError) as caught:
        next(Hub(name="some/data").read())
    told = "source.name: 'some/data' can't be loaded from the Hub: Dataset 'some/data' doesn't exist"
    assert str(caught.value) == told
