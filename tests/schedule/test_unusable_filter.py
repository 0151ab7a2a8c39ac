"""A filter that can't be loaded ends the run: it condemns no record, and no other engine is started for it."""

import pytest

from synth.engines import Unusable
from synth.engines.simulated import Simulated
from tests.schedule.configs import FAST
from tests.schedule.local import LocalRun

MAGPIE = {"_target_": "synth.steps.magpie.Magpie"}


class Decoding(Simulated):
    """A simulated engine, with the attributes that LocalRun sets."""


@pytest.mark.parametrize(
    "broken",
    [
        {"_target_": "synth.quality.length.Length", "unit": "tokens", "max": 9, "tokenizer": "{folder}"},
        {"_target_": "synth.quality.reward.Reward", "model": "{folder}"},
        {"_target_": "synth.quality.semantic_duplicate.SemanticDuplicate", "model": "{folder}"},
    ],
    ids=lambda broken: broken["_target_"].rpartition(".")[2],
)
async def test_a_filter_that_can_not_be_loaded_ends_the_run_at_once_and_rejects_nothing(tmp_path, broken):
    folder = tmp_path / "broken"
    folder.mkdir()
    steps = [MAGPIE, {key: str(folder) if value == "{folder}" else value for key, value in broken.items()}]
    run = LocalRun(tmp_path / "run", steps, lambda: Decoding(**FAST), wanted=40)
    with pytest.raises(Unusable, match=f"{folder} can't be loaded"):
        await run.go()
    assert run.spawned == [1]
    assert not run.rejected and not run.summaries


async def test_whatever_a_filter_of_ones_own_loads_is_the_same(tmp_path):
    steps = [MAGPIE, {"_target_": "tests.schedule.test_unusable_filter.Own"}]
    run = LocalRun(tmp_path / "run", steps, lambda: Decoding(**FAST), wanted=40, replicas=2)
    with pytest.raises(Unusable, match="the index can't be loaded: out of luck"):
        await run.go()
    assert run.spawned == [1, 1]


class Own:
    """A filter with something to load."""

    def __init__(self):
        from synth.quality.loaded import Loaded

        self._loaded = Loaded("the index", self._load)

    def _load(self):
        raise RuntimeError("out of luck")

    async def __call__(self, record, llm):
        await self._loaded.get()
        return record
