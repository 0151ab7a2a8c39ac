"""The parts that tests share: the demonstration model's engine, loaded once."""

import os

import pytest_asyncio

from synth.engines.vllm import VLLM
from synth.model import Model


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine():
    """A started vLLM engine on the demonstration model."""
    engine = VLLM(
        model=Model(path="demo", dtype="float32"),
        max_num_seqs=64,
        max_num_batched_tokens=2048,
        kv_cache_gib=1,
        enforce_eager=True,
    )
    os.environ |= engine.placement(on_gpu=False, replicas_beside=0).env
    await engine.start()
    yield engine
    await engine.stop()
