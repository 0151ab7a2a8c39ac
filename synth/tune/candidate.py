"""One engine with its settings, in a process of its own: two can't be loaded in one process, and one that crashes or
leaks memory must not affect the others' measurements.

The strategy's records run on it as in a run, without Ray, into a temporary folder.
"""

import asyncio
import multiprocessing
import os
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from synth.configuration.config import Config
from synth.configuration.parsing import parse
from synth.engines import EngineError
from synth.engines.start import start_failure
from synth.resumption.opening import opened
from synth.schedule.counters import Counters
from synth.schedule.placed_process import Log, lead_process_group
from synth.trials.side_by_side import SideBySide, loaded, plan
from synth.tune.speed import Sample

SAMPLE_S = 0.2


@dataclass
class Measured:
    """`refused` is the reason why there is no measurement. `all_made`: the records ended before the time did."""

    start_s: float | None = None
    samples: list[Sample] = field(default_factory=list)
    all_made: bool = False
    refused: str | None = None


async def measured(config: Config, records: int, seconds: float, log: Path) -> Measured:
    """The measurement, from a process that has ended. Cancellation ends the process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_in_process, args=(config.resolved, records, seconds, str(log), sender))
    process.start()
    sender.close()  # else the end of the process would not be noticed
    most_s = config.cluster.start_timeout_s
    try:
        start_s = await asyncio.to_thread(_received, receiver, most_s)
        if isinstance(start_s, Measured):
            return start_s
        found: Measured = await asyncio.to_thread(_received, receiver, seconds + most_s)
        return replace(found, start_s=start_s)
    except TimeoutError:
        return Measured(refused=f"did not start or answer in time; see {log}")
    except EOFError:
        return Measured(refused=f"its process ended; see {log}")
    finally:
        process.kill()  # and with it its process group
        process.join()
        receiver.close()


def _received(receiver: Connection, seconds: float) -> Any:
    if not receiver.poll(seconds):
        raise TimeoutError
    return receiver.recv()


def _in_process(resolved: dict[str, Any], records: int, seconds: float, log: str, sender: Connection) -> None:
    lead_process_group()
    Log(Path(log))
    config = parse(resolved)
    try:
        sender.send(asyncio.run(_measure(config, records, seconds, Path(log), sender)))
    except Exception as error:
        failure = error if isinstance(error, EngineError) else start_failure(error)
        sender.send(Measured(refused=" ".join(str(failure).split())))
    with suppress(OSError):
        sender.close()
    os._exit(0)  # without waiting for the engine's remains


async def _measure(config: Config, records: int, seconds: float, log: Path, sender: Connection) -> Measured:
    with opened(config) as place:
        plan(place, records)
        async with AsyncExitStack() as stack:
            then = time.monotonic()
            engine = await stack.enter_async_context(loaded(config.engine, log))
            start_s = time.monotonic() - then
            others = {
                name: await stack.enter_async_context(loaded(one.engine, log.with_name(f"{log.stem}-{name}.log")))
                for name, one in config.pools.items()
            }
            place.begin()
            sender.send(start_s)
            return await _run(SideBySide(engine, [(config, place)], others), seconds)


async def _run(runs: SideBySide, seconds: float) -> Measured:
    """The time begins with the first record, after the tokenizer is loaded."""
    samples: list[Sample] = []
    work = asyncio.create_task(runs.run())
    while not work.done() and (not samples or samples[-1].at - samples[0].at < seconds):
        await asyncio.wait([work], timeout=SAMPLE_S)
        samples += map(_sample, await runs.counters())
    all_made = work.done()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    return Measured(samples=samples, all_made=all_made)


def _sample(counters: Counters) -> Sample:
    load = counters.load
    tokens = counters.completion_tokens if load.generated is None else load.generated
    return Sample(time.monotonic(), tokens, counters.made, load.running, load.preempted)
