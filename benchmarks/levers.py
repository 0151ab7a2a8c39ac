"""What each lever is worth: the same workload with it and without it, in turn (A B A B).

    python benchmarks/levers.py [--workload evol] [--scale 1.0] [--repeats 2] [--levers in_flight,seeds,...]

  in_flight    records in flight: as many as the engine's batch, twice as many (the default), four times as many
  priority     requests in the order in which they come, or those of older records first
  seeds        a seed for each request, which makes a dataset reproducible, or none
  text         token ids alone, or text too, as for a request with stop strings
  samples      one request for each of Magpie's instructions, or one for eight of them
  prefix       the prefix cache on or off (two engines, one after the other: A A B B)
  ngram        n-gram speculation off or on (the same)
  fp8          keys and values in the model's own type or in 8 bits (the same)
  compiled     without or with torch.compile (the same)

`worth` is the tokens per second of each arm over those of the default one, the first, and `start` the seconds in which
its engine loads. The arms are Synth's own worker, journals and commits included, on the engine and the workloads of
one_engine.py. `tokenizing` is the time that the worker spends on a call's prompt and answer as text.
"""

import argparse
import asyncio
import dataclasses
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from one_engine import RECORDS, RESULTS, Counted, composed, loaded, machine, options, padded, synth, write_results

from synth.chat import ChatTemplate
from synth.configuration.config import Config
from synth.engines import Answer, Sampling

NEVER = "\U0008ffff"  # a stop string that no answer holds: a noncharacter
SAMPLES = 8
ON_ONE_ENGINE = ("in_flight", "priority", "seeds", "text")
BY_PRIORITY = {"extra": {"scheduling_policy": "priority"}}  # equal priorities come in their order, as without it
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
    "fp8": ({}, {"kv_cache_dtype": "fp8"}),
    "compiled": ({}, {"enforce_eager": False}),
}
AGE: ContextVar[int] = ContextVar("AGE", default=0)


def main() -> int:
    parser = padded(options(__doc__, "levers_WORKLOAD"))
    parser.set_defaults(json=None)
    parser.add_argument("--workload", choices=RECORDS, default="evol")
    parser.add_argument("--levers", default=",".join([*ON_ONE_ENGINE, "samples", *ON_TWO]))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    given.json = given.json or RESULTS / f"levers_{given.workload}.json"
    write_results(given, measure)
    return 0


async def measure(given: argparse.Namespace, scratch: Path) -> dict:
    levers = given.levers.split(",")
    records = max(1, round(RECORDS[given.workload] * given.scale))
    config = composed(given.workload, records, scratch)
    results: dict[str, Any] = {"workload": given.workload, "records": records, "levers": {}}
    print(f"{'lever':12}{'arm':16}{'tokens/s':>10}{'worth':>8}{'start':>8}", flush=True)
    engine = await loaded(given, scratch, **BY_PRIORITY)
    results["machine"] = machine(engine)
    results["tokenizing"] = await tokenizing(config, engine, scratch)
    for lever in (lever for lever in levers if lever in ON_ONE_ENGINE):
        arms = {
            name: lambda path, changed=changed, asked=asked: one_run(changed, asked, path)
            for name, (changed, asked) in arms_of(lever, config, engine).items()
        }
        results["levers"][lever] = told(lever, await in_turn(arms, given.repeats, scratch / lever))
    if "samples" in levers:
        arms = {f"{n} a request": lambda _, n=n: samples(engine, records, n) for n in (1, SAMPLES)}
        results["levers"]["samples"] = told("samples", await in_turn(arms, given.repeats, scratch))
    await engine.end()
    for lever in (lever for lever in levers if lever in ON_TWO):
        runs: dict[str, list[float]] = {}
        starts = {}
        for name, changes in zip(("default", "other"), ON_TWO[lever], strict=True):
            before = time.perf_counter()
            engine = await loaded(given, scratch, **changes)
            starts[name] = time.perf_counter() - before
            speeds = [await one_run(config, engine, scratch / f"{lever}-{name}-{n}") for n in range(given.repeats + 1)]
            runs[name] = speeds[1:]
            await engine.end()
        results["levers"][lever] = told(lever, runs, starts)
    return results


async def in_turn(arms: dict[str, Callable[[Path], Any]], repeats: int, path: Path) -> dict[str, list[float]]:
    """Tokens per second of each arm, A B A B. The first of each warms up and is not counted."""
    runs: dict[str, list[float]] = {name: [] for name in arms}
    for repeat in range(-1, repeats):
        for place, (name, arm) in enumerate(arms.items()):
            speed = await arm(path.with_name(f"{path.name}-{place}-{repeat}"))
            if repeat >= 0:
                runs[name].append(speed)
    return runs


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
    if lever == "priority":
        other: Any = OlderFirst(engine)
    else:
        other = Changed(engine, {"seed": None} if lever == "seeds" else {"stop": (NEVER,)})
    return {"default": (config, engine), "other": (config, other)}


class Changed:
    """The engine, asked with other samplings."""

    def __init__(self, engine: Counted, changes: dict[str, Any]):
        self._engine, self._changes = engine, changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        return await self._engine.generate(prompt, dataclasses.replace(sampling, **self._changes))


class OlderFirst:
    """The engine, which is given the place of each request's record among all records as its priority."""

    def __init__(self, engine: Counted):
        self._engine, self._count = engine, itertools.count(1)
        llm = engine._llm
        generate = llm.generate
        llm.generate = lambda *request: generate(*request, priority=AGE.get())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Answer:
        if not AGE.get():  # in the context of the record's own task
            AGE.set(next(self._count))
        return await self._engine.generate(prompt, sampling)


async def samples(engine: Counted, records: int, each: int) -> float:
    """Magpie's instructions alone, so many of a request."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind

    template = engine.model.load_chat_template()
    stop = list(template.query_stop.token_ids)
    await engine.forget()

    async def ask(number: int) -> int:
        params = SamplingParams(
            n=each, max_tokens=512, seed=number, stop_token_ids=stop, detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )  # fmt: skip
        async for output in engine._llm.generate(tokens_input(template.pre_query()), params, f"{each}-{number}"):
            final = output
        return sum(len(output.token_ids) for output in final.outputs)

    begun = time.perf_counter()
    tokens = sum(await asyncio.gather(*(ask(number) for number in range(0, 4 * records, each))))
    return tokens / (time.perf_counter() - begun)


async def tokenizing(config: Config, engine: Counted, scratch: Path) -> dict[str, float]:
    """Microseconds of a call for its prompt from text to ids and its answer from ids to text, and of the whole time."""
    spent = 0.0
    inside = False  # of another of these methods

    def timed(method: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal spent, inside
            if inside:
                return method(*arguments, **options)
            inside, begun = True, time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                inside = False
                spent += time.perf_counter() - begun

        return call

    methods = ("encode", "pre_query", "answer")
    originals = {name: getattr(ChatTemplate, name) for name in methods}
    for name, method in originals.items():
        setattr(ChatTemplate, name, timed(method))
    try:
        await one_run(config, engine, scratch / "tokenizing")
    finally:
        for name, method in originals.items():
            setattr(ChatTemplate, name, method)
    calls, seconds = engine.summary()["requests"], engine.summary()["seconds"]
    print(f"tokenizing: {spent / calls * 1e6:,.0f} us a call, {spent / seconds:.2%} of the run's time", flush=True)
    return {"microseconds_per_call": spent / calls * 1e6, "share": spent / seconds}


async def one_run(config: Config, engine: Any, path: Path) -> float:
    await engine.forget()
    await synth(config, engine, path)
    return engine.summary()["tokens_per_second"]


def told(lever: str, runs: dict[str, list[float]], starts: dict[str, float] | None = None) -> dict[str, Any]:
    first = next(iter(runs.values()))
    arms = {}
    for name, speeds in runs.items():
        worth = statistics.mean(one / default for one, default in zip(speeds, first, strict=True))
        arms[name] = {"tokens_per_second": statistics.mean(speeds), "worth": worth, "runs": speeds}
        start = ""
        if starts:
            arms[name]["start_s"] = starts[name]
            start = f"{starts[name]:7.1f}s"
        print(f"{lever:12}{name:16}{arms[name]['tokens_per_second']:10,.0f}{worth:8.3f}{start}", flush=True)
    return arms


if __name__ == "__main__":
    sys.exit(main())
