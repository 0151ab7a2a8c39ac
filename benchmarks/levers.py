"""What each lever is worth: the same workload with it and without it, in turn (A B A B).

    python benchmarks/levers.py [--workload evol] [--scale 1.0] [--repeats 2] [--levers in_flight,seeds,...]

  in_flight    records in flight: as many as the engine's batch, twice as many (the default), four times as many
  seeds        a seed for each request, which makes a dataset reproducible, or none
  text         token ids alone, or text too, as for a request with stop strings
  prefix       the prefix cache on or off (two engines, one after the other: A A B B)
  ngram        n-gram speculation off or on (the same)

`worth` is the tokens per second of each arm over those of the default one, the first. The arms are Synth's own worker,
journals and commits included, on the engine and the workloads of one_engine.py.
"""

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from one_engine import RECORDS, Counted, composed, loaded, machine, options, padded, synth, write_results

from synth.config import Config
from synth.engines import Answer, Sampling

NEVER = "\U0008ffff"  # a stop string that no answer holds: a noncharacter
ON_ONE_ENGINE = ("in_flight", "seeds", "text")
ON_TWO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "prefix": ({"enable_prefix_caching": True}, {"enable_prefix_caching": False}),
    "ngram": (
        {},
        {
            "extra": {
                "speculative_config": {
                    "method": "ngram",
                    "num_speculative_tokens": 4,
                    "prompt_lookup_max": 4,
                    "prompt_lookup_min": 2,
                }
            }
        },
    ),
}


def main() -> int:
    parser = padded(options(__doc__, "levers"))
    parser.add_argument("--workload", choices=RECORDS, default="evol")
    parser.add_argument("--levers", default=",".join([*ON_ONE_ENGINE, *ON_TWO]))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=2)
    write_results(parser.parse_args(), measure)
    return 0


async def measure(given: argparse.Namespace, scratch: Path) -> dict:
    levers = given.levers.split(",")
    records = max(1, round(RECORDS[given.workload] * given.scale))
    config = composed(given.workload, records, scratch)
    results: dict[str, Any] = {"workload": given.workload, "records": records, "levers": {}}
    print(f"{'lever':12}{'arm':16}{'tokens/s':>10}{'worth':>8}", flush=True)
    engine = await loaded(given, scratch)
    results["machine"] = machine(engine)
    for lever in (lever for lever in levers if lever in ON_ONE_ENGINE):
        arms = arms_of(lever, config, engine)
        runs: dict[str, list[float]] = {name: [] for name in arms}
        for repeat in range(-1, given.repeats):  # the first one warms up and is not counted
            for name, (changed, asked) in arms.items():
                speed = await one_run(changed, asked, scratch / f"{lever}-{name}-{repeat}".replace(" ", "-"))
                if repeat >= 0:
                    runs[name].append(speed)
        results["levers"][lever] = told(lever, runs)
    await engine.end()
    for lever in (lever for lever in levers if lever in ON_TWO):
        runs = {}
        for name, changes in zip(("off" if lever == "ngram" else "on", "other"), ON_TWO[lever], strict=True):
            engine = await loaded(given, scratch, **changes)
            speeds = [await one_run(config, engine, scratch / f"{lever}-{name}-{n}") for n in range(given.repeats + 1)]
            runs[name] = speeds[1:]
            await engine.end()
        results["levers"][lever] = told(lever, runs)
    return results


def arms_of(lever: str, config: Config, engine: Counted) -> dict[str, tuple[Config, Counted]]:
    if lever == "in_flight":
        batch = engine.max_num_seqs
        counts = {f"{times} x batch": times * batch for times in (2, 1, 4)}
        return {
            name: (
                dataclasses.replace(config, cluster=dataclasses.replace(config.cluster, records_in_flight=count)),
                engine,
            )
            for name, count in counts.items()
        }
    changes = {"seed": None} if lever == "seeds" else {"stop": (NEVER,)}
    return {"default": (config, engine), "other": (config, Changed(engine, changes))}


class Changed:
    """The engine, asked with other samplings."""

    def __init__(self, engine: Counted, changes: dict[str, Any]):
        self._engine, self._changes = engine, changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        return await self._engine.generate(prompt, dataclasses.replace(sampling, **self._changes))


async def one_run(config: Config, engine: Any, path: Path) -> float:
    await engine.forget()
    await synth(config, engine, path)
    return engine.told()["tokens_per_second"]


def told(lever: str, runs: dict[str, list[float]]) -> dict[str, Any]:
    first = next(iter(runs.values()))
    arms = {}
    for name, speeds in runs.items():
        worth = statistics.mean(one / default for one, default in zip(speeds, first, strict=True))
        arms[name] = {"tokens_per_second": statistics.mean(speeds), "worth": worth, "runs": speeds}
        print(f"{lever:12}{name:16}{arms[name]['tokens_per_second']:10,.0f}{worth:8.3f}", flush=True)
    return arms


if __name__ == "__main__":
    sys.exit(main())
