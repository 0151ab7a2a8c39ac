"""Synth's peers: which script runs each, tuned how, and the environment that it runs in.

A tuning is what the peer's documentation says about batches and concurrency, in two ways where it leaves a choice;
each is an arm of its own.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alike import WORKLOADS

SCRIPTS = Path(__file__).parent / "peers"
PINNED = Path(__file__).parent.parent / "requirements" / "cpu.txt"


@dataclass(frozen=True)
class Peer:
    """`packages` are its own, beside requirements/cpu.txt; without `vllm` they are all it has, and the server that it
    asks runs in Synth's environment. `tunings` are the script's own words, by their name here."""

    script: str
    tunings: dict[str, dict[str, Any]]
    packages: tuple[str, ...] = ()
    vllm: bool = True
    workloads: tuple[str, ...] = WORKLOADS
    note: str = "Synth's prompts and seeds"

    @property
    def python(self) -> Path:
        return SCRIPTS / ".venvs" / self.script / "bin" / "python"

    def install(self) -> None:
        """The peer's environment, anew."""
        pip = [self.python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", self.python.parent.parent], check=True)
        if self.vllm:
            subprocess.run([*pip, "-c", PINNED, "torch==2.13.0"], check=True)
            subprocess.run([*pip, "--no-deps", "-r", PINNED], check=True)
        if self.packages:
            pinned = ["-c", PINNED] if self.vllm else []
            subprocess.run([*pip, *pinned, *self.packages], check=True)


PEERS = {
    "barrier": Peer("barrier", {"batches of 200": {"batch": 200}, "one batch": {}}),
    "distilabel": Peer(
        "distilabel_pipeline",
        {
            "own vLLM class": {"own_engine": True},
            "one batch": {},
            "batches of 64, 3 at a time": {"batch": 64, "replicas": 3},
        },
        packages=("distilabel[openai]==1.5.3",),
        note="Synth's prompts, evolutions of its own choice and no seeds: other tokens of the same kind",
    ),
    "ray_data": Peer(
        "ray_data",
        {
            "2 engines, 8 batches of 16": {"batch_size": 16, "max_concurrent_batches": 8},
            "in turn, 8 batches of 16": {"batch_size": 16, "max_concurrent_batches": 8, "in_turn": True},
        },
        workloads=("magpie",),
        note="Synth's prompts and seeds; `in turn` loads its second engine after `ready`; Evol would be 3 engines",
    ),
    "datatrove": Peer(
        "datatrove_runner",
        {"500 at once": {"at_once": 500}, "2 for each sequence": {"at_once": 128}},
        packages=("datatrove[io]==0.10.1", "aiofiles", "aiosqlite", "httpx", "jinja2", "transformers", "dill"),
        vllm=False,
    ),
    "data_designer": Peer(
        "data_designer_columns",
        {"2 for each sequence": {"at_once": 128}, "4 at once, its default": {"at_once": 4}},
        packages=("data-designer==0.9.7",),
        vllm=False,
        workloads=("evol",),
        note="Synth's prompts, no seeds; its columns are chats, which leaves no way to draw a user's words (Magpie)",
    ),
}
