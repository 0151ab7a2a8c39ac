import pytest
import torch

from synth.engines.cpu_dtype import cpu_dtype
from synth.engines.vllm_engine import is_cpu_build


@pytest.fixture
def capability(monkeypatch):
    """Sets what torch finds of the processor, and what machine it is."""

    def set_to(vectors: str, machine: str = "x86_64") -> None:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
        monkeypatch.setattr("platform.machine", lambda: machine)

    return set_to


@pytest.mark.parametrize("vectors", ["AVX2", "NO AVX", "DEFAULT"])
def test_a_processor_without_avx512_computes_in_float32(capability, vectors):
    capability(vectors)
    assert cpu_dtype("auto") == "float32"


@pytest.mark.parametrize(("vectors", "machine"), [("AVX512", "x86_64"), ("DEFAULT", "aarch64"), ("SVE256", "arm64")])
def test_another_computes_in_what_is_stored(capability, vectors, machine):
    capability(vectors, machine)
    assert cpu_dtype("auto") == "auto"


@pytest.mark.parametrize("chosen", ["bfloat16", "float16", "float32"])
def test_what_is_chosen_stays(capability, chosen):
    capability("AVX2")
    assert cpu_dtype(chosen) == chosen


@pytest.mark.skipif(not is_cpu_build(), reason="vLLM's build for CPUs is not installed")
def test_vllm_is_told(capability, real_model_folder):
    from synth.engines.vllm import VLLM
    from synth.models.model import Model

    for vectors, dtype in (("AVX2", torch.float32), ("AVX512", torch.bfloat16)):
        capability(vectors)
        configured = VLLM(model=Model(path=str(real_model_folder)), max_num_seqs=8).configured()
        assert configured.model_config.dtype == dtype
