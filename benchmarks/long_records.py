"""What a kill costs of long records, by `checkpoint_calls`: tokens of complete answers that are made again.

    python benchmarks/long_records.py [--kills 4] [--gap 40]

One worker on the simulated engine, in this process: 8 requests at a time of 100 tokens a second, records of 14 answers
of some 400 tokens, 8 of them at once, a minute each. A kill is a copy of the run's folder at a moment that is
drawn around every `gap` seconds; another worker goes on with the copy, and what the first one does after that does not
count. Ends with 1 where rows differ.
"""

import argparse
import asyncio
import dataclasses
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import AutoTokenizer  # noqa: F401  (workers that start at once don't import it at once)

from synth.configuration.parsing import parse
from synth.engines import Answer, Sampling
from synth.engines.simulated import Simulated
from synth.records import Shard
from synth.schedule.worker import Worker
from synth.storage.run_folder import RunFolder

SHARD = Shard(0, 0, 24)
ENGINE = {"tokens_per_second": 100.0, "median_tokens": 400, "sigma": 0.4, "max_num_seqs": 8}
RUN = {
    **{"num_records": 24, "seed": 0, "output_dir": "unused", "shard_size": 24, "resume": "auto", "min_yield": 0.05},
    **{"push_to_hub": None, "dry_run": False, "cluster": {"records_in_flight": 8}, "source": {}},
    "strategy": {
        "name": "long_records",
        "steps": [
            {"_target_": "synth.steps.magpie.Magpie"},
            {"_target_": "synth.steps.sample.Sample", "n": 12},
        ],
    },
    "model": {"path": "demo"},
    "engine": {"_target_": "synth.engines.simulated.Simulated"},
}


class Counting(Simulated):
    """The simulated engine, with the `tokens` of its complete answers."""

    tokens = 0

    async def generate(self, prompt: Any, sampling: Sampling, watch: Any = None) -> Answer:
        answer = await super().generate(prompt, sampling, watch)
        self.tokens += answer.completion_tokens
        return answer


async def killed(chosen: bool | str, kills: int, gap: float) -> list[dict[str, Any]]:
    """The rows of a run that is killed so often, unless it is done before."""
    rng, base, tokens = random.Random(0), Path(tempfile.mkdtemp(prefix="long-records-")), 0
    for number in range(kills + 1):
        folder, engine = RunFolder(base / str(number)), Counting(**ENGINE)
        folder.make()
        worker = Worker(
            dataclasses.replace(parse(RUN | {"checkpoint_calls": chosen}), engine=engine), folder.path, "fingerprint"
        )
        await worker.start()
        running = asyncio.create_task(worker.run(SHARD))
        await asyncio.wait([running], timeout=rng.uniform(0.5, 1.5) * gap if number < kills else None)
        tokens += engine.tokens
        if running.done():
            break
        shutil.copytree(folder.path, base / str(number + 1))
        await worker.stop()
    summary = await running
    assert summary is not None
    await worker.stop()
    again = tokens - summary.completion_tokens
    each = again / max(1, number)
    print(f"{chosen!s:6} {number:6} {tokens:10,} {again:12,} {again / tokens:7.1%} {each:8,.0f}", flush=True)
    with pa.OSFile(str(folder.shard(0)), "rb") as file, pa.ipc.open_stream(file) as reader:
        rows: list[dict[str, Any]] = reader.read_all().to_pylist()
    shutil.rmtree(base)
    return rows


async def compare(kills: int, gap: float) -> bool:
    print("value   kills     tokens   made again           a kill")
    found = await asyncio.gather(*(killed(chosen, kills, gap) for chosen in (False, "auto", True)))
    print("the rows are the same" if found[0] == found[1] == found[2] else "the rows are NOT the same")
    return found[0] == found[1] == found[2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--gap", type=float, default=40.0, help="seconds")
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(compare(given.kills, given.gap)) else 1)
