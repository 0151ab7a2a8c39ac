"""What all tests share: a working directory that is nobody's, and models that are loaded once: the demonstration model
in vLLM, in a process and behind a server, and a real one in vLLM."""

import functools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import NamedTuple

import pytest
import pytest_asyncio
import setuptools  # noqa: F401 - before a test imports distutils, which it replaces, and vLLM's start fails without it

from benchmarks.real_model import NAME, real_model
from synth.engines.openai import OpenAI
from synth.engines.vllm import VLLM
from synth.models.model import Model


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file's tests run in one process, and all files that share an engine in the same one: it is loaded once."""
    from xdist.scheduler import LoadFileScheduling

    class LoadEngineOnce(LoadFileScheduling):
        def _split_scope(self, nodeid):  # pytest-xdist documents it as the method to override
            file = super()._split_scope(nodeid)
            return "engines" if _shares_an_engine(config.rootpath / file) else file

    return LoadEngineOnce(config, log)


@functools.cache
def _shares_an_engine(path):
    return 'loop_scope="session"' in path.read_text()


@pytest.fixture(scope="session", autouse=True)
def away_from_the_checkout(tmp_path_factory):
    """What a user has in the checkout, such as runs/, is neither read nor changed. Goes for fixtures that tests share,
    too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("working-directory"))
        yield


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    """A relative path, such as the default output_dir, is below the test's own `tmp_path`."""
    monkeypatch.chdir(tmp_path)


@pytest_asyncio.fixture
async def started():
    """A list of engines or workers: what a test puts into it is stopped in the end."""
    started = []
    yield started
    for one in started:
        await one.stop()


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


@pytest.fixture(scope="session")
def real_model_folder():
    """SmolLM2-135M-Instruct, a real chat model."""
    try:
        return real_model()
    except RuntimeError as error:
        pytest.skip(f"the real model can't be had: {error}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_engine(real_model_folder):
    """A started vLLM engine on it."""
    model = Model(path=str(real_model_folder), name=NAME)
    engine = VLLM(model=model, max_num_seqs=64, max_num_batched_tokens=4096, kv_cache_gib=2, enforce_eager=True)
    os.environ |= engine.placement(on_gpu=False, replicas_beside=0).env
    await engine.start()
    yield engine
    await engine.stop()


class Server(NamedTuple):
    base_url: str
    key: str


# Chunks of a prompt and seeds don't go together on a CPU, so prompts are read whole.
SERVE = (
    f"--model {Model(path='demo').path} --served-model-name synth-demo --host 127.0.0.1 --dtype float32 "
    "--enforce-eager --max-num-seqs 8 --no-enable-chunked-prefill --max-num-batched-tokens 2048 "
    "--enable-prompt-tokens-details"
).split()
SERVER_ENV = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_API_KEY": "sk-of-the-tests",
}


@pytest.fixture(scope="session")
def openai_server(tmp_path_factory):
    """The demonstration model on `vllm serve`, as a module: the command itself needs vLLM's own wheel."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *SERVE, "--port", str(port)]
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env=os.environ | SERVER_ENV, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)
        yield Server(f"http://127.0.0.1:{port}/v1", SERVER_ENV["VLLM_API_KEY"])
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        finally:
            os.killpg(server.pid, signal.SIGKILL) if server.poll() is None else None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def openai_engine(openai_server):
    """A started client of that server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", openai_server.key)
        model = Model(path="demo", name="synth-demo", dtype="float32")
        engine = OpenAI(model=model, base_url=openai_server.base_url, max_num_seqs=8)
        await engine.start()
    yield engine
    await engine.stop()


def _answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except (urllib.error.URLError, OSError):
        return False
