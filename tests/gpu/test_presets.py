"""Whether the presets fit the GPUs that they name, by arithmetic."""

import pytest

from synth.configuration.config_groups import options
from synth.engines import vllm_engine
from synth.engines.cards import card
from synth.engines.vllm import VLLM
from synth.models.model import Model
from synth.preview import machines
from tests.gpu.presets import PRESETS
from tests.gpu.shapes import SHAPES, write


@pytest.fixture(autouse=True)
def on_gpus(monkeypatch):
    for module in (vllm_engine, machines):
        monkeypatch.setattr(module, "is_cpu_build", lambda: False)


def cache(tmp_path, preset, gpu, gpus, length):
    model = Model(path=str(write(tmp_path, preset.name)), max_model_len=preset.context)
    return machines.cache(VLLM(model=model, tensor_parallel_size=gpus), model, card(gpu), length)


def test_every_preset_has_a_shape():
    assert set(SHAPES) == set(options("model")) - {"demo"}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda one: one.name)
def test_a_preset_has_room_for_answers_on_the_gpus_that_it_names(tmp_path, preset):
    for gpu in ("H100", "A100-80GB", "H200", "B200"):
        found = cache(tmp_path, preset, gpu, preset.gpus, 2048)
        assert found.sequences >= 30 and found.tokens >= (preset.context or 0), gpu
    text = SHAPES[preset.name].get("text_config", SHAPES[preset.name])
    assert text["num_attention_heads"] % preset.gpus == 0


@pytest.mark.parametrize("preset", [one for one in PRESETS if one.fits_24_gib], ids=lambda one: one.name)
def test_a_preset_that_says_so_fits_a_gpu_of_24_gib(tmp_path, preset):
    assert cache(tmp_path, preset, "L4", 1, 2048).tokens >= preset.context


@pytest.mark.parametrize("preset", [one for one in PRESETS if one.gpus > 1], ids=lambda one: one.name)
def test_no_preset_takes_more_gpus_than_it_needs(tmp_path, preset):
    """With half of them weights take all, or leave no more than a few dozen long answers."""
    assert cache(tmp_path, preset, "H100", preset.gpus // 2, 2048).sequences < 100
