"""What vLLM's own code for GPUs makes of the presets on cards that are not there (compose.py says how).

`make test-gpu-config` fetches the wheel for it; without the wheel nothing is tested.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.gpu.presets import PRESETS
from tests.gpu.shapes import SHAPES, write
from tests.gpu.wheel import FOLDER

pytestmark = pytest.mark.gpu_config
CARDS = {"H100": 0.92, "H200": 0.95, "B200": 0.95}
MIXTURE = "qwen3-235b-a22b-instruct-2507"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """What became of each preset, by a card's name."""
    if not FOLDER.exists():
        pytest.skip("vLLM's wheel for GPUs is not here: make test-gpu-config fetches it")
    folder = tmp_path_factory.mktemp("gpu")
    asked = [
        {
            "preset": one.name,
            "folder": str(write(folder, one.name)),
            "tensor_parallel_size": one.gpus,
            "max_model_len": one.context,
        }
        for one in PRESETS
    ]
    mixture = next(one for one in asked if one["preset"] == MIXTURE)
    asked.append(mixture | {"preset": "experts apart", "extra": {"enable_expert_parallel": True}})

    @cache
    def on(card):
        script = [sys.executable, str(ROOT / "tests" / "gpu" / "compose.py"), str(FOLDER), card, json.dumps(asked)]
        env = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "VLLM_CACHE_ROOT": str(folder / "cache")}
        done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=1200)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert len(lines) == len(asked), done.stderr[-2000:]
        return {line["preset"]: line for line in lines}

    return on


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("preset", PRESETS, ids=lambda one: one.name)
def test_a_preset_starts_with_the_batch_of_vllms_llm(composed, preset, card):
    found = composed(card)[preset.name]
    assert "error" not in found, found["error"]
    assert (found["sequences"], found["tokens"], found["memory"]) == (1024, 16384, CARDS[card])
    assert found["context"] == (preset.context or SHAPES[preset.name]["max_position_embeddings"])
    assert found["async"] and found["chunked"] and found["mode"] == "FULL_AND_PIECEWISE"
    assert (found["gpus"], found["executor"]) == (preset.gpus, "uni" if preset.gpus == 1 else "mp")
    assert found["dtype"] == "torch.bfloat16"


@pytest.mark.parametrize("card", CARDS)
def test_prefixes_are_kept(composed, card):
    assert {name for name, one in composed(card).items() if not one["prefix"]} == set()


@pytest.mark.parametrize("card", CARDS)
def test_of_models_that_see_the_language_model_alone_is_loaded(composed, card):
    seeing = {name for name, one in composed(card).items() if one["multimodal"]}
    assert seeing == {"gemma-3-4b-it", "gemma-3-12b-it", "gemma-3-27b-it"}
    assert all(composed(card)[name]["language_only"] for name in seeing)


@pytest.mark.parametrize("card", CARDS)
def test_experts_are_spread_over_the_gpus_of_one_engine_where_that_is_asked(composed, card):
    assert composed(card)["experts apart"]["expert_parallel"]
    assert not composed(card)[MIXTURE]["expert_parallel"]


@pytest.mark.parametrize("card", CARDS)
def test_four_bit_experts_are_kept_in_four_bits(composed, card):
    quantized = {name: one["quantization"] for name, one in composed(card).items() if one["quantization"] != "None"}
    assert set(quantized) == {"gpt-oss-20b", "gpt-oss-120b"}
    assert all("mxfp4" in method for method in quantized.values())
