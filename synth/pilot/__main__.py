"""Finds settings that suit a model: python -m synth.pilot +strategy=magpie model=… [overrides].

Tries a grid of settings (synth/pilot/grid.py) on a few dozen records each, all together on one engine, and reports the
results: a table, samples, the best settings as overrides, and a page. A trial is a small run with a run folder below
output_dir, and the same command resumes it.

Exit codes are those of a run: 0 done, 2 bad configuration (nothing was started), 75 stopped by a signal, 1 anything
else.
"""

import asyncio
import gc
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from rich.console import Console

from synth.configuration.hydra_errors import CommandLine
from synth.engines import EngineError
from synth.errors import ConfigError
from synth.exit_codes import BAD_INPUT, DONE, FAILED, STOPPED
from synth.pilot.grid import trials
from synth.preview.dry_run import at_most
from synth.printable import write
from synth.report.comparison import Comparison, letter
from synth.report.page import write_page
from synth.report.run_data import Run
from synth.report.samples import show_rows
from synth.resumption.opening import Opened, opened
from synth.schedule.first_records import StepsFail
from synth.schedule.signals import stop_signals
from synth.storage.run_folder import written_over
from synth.trials.side_by_side import SideBySide, loaded, plan
from synth.trials.trial import Trial, hint, run_words

HELP = """\
Which settings suit a model: small trials of them side by side, on one engine.

  python -m synth.pilot +strategy=magpie model=qwen3-8b
  python -m synth.pilot +strategy=magpie model=qwen3-8b seed=1,2 strategy.magpie.n_turns=1,2
  python -m synth.pilot +strategy=magpie model=qwen3-8b dry_run=true     the trials only

Takes the overrides of a run (python -m synth.run --help). A key may have several values, key=a,b:
every combination is a trial. Keys that the engine reads have one value, because it is loaded once.

  num_records=32       records that each trial begins
  output_dir=FOLDER    pilots/STRATEGY-MODEL by default; a trial's folder in it is one of a run
  seed=0               of all trials

Where no key has several values, the temperature and top_p of the first call are varied, and
model.default_system_prompt where the chat template has one. A key that is named keeps its value.

Prints a table, samples and the best trial as overrides of a run; writes pilot.html into the folder.
The same command resumes a pilot that was stopped. docs/pilot.md explains the table.

Exit codes: 0 done; 2 bad configuration, nothing started; 75 stopped by a signal; 1 anything else.
"""
SAMPLES = 3  # of each trial
TOLD_EVERY_S = 10.0
MARK = "Synth pilot"  # identifies its own page


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if CommandLine(words).asks_help:
            write(HELP.rstrip())
            return DONE
        found = trials(words)
        if not found:
            return DONE
        if found[0].config.settings.dry_run:
            write("\n".join(_plan(found)))
            return DONE
        return _pilot(found, words)
    except ConfigError as error:
        print(f"error: {error}{hint(str(error), words)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return STOPPED


def _plan(found: Sequence[Trial]) -> list[str]:
    """The plan of the pilot as text."""
    config = found[0].config
    records = config.settings.num_records
    most = [at_most(trial.config) for trial in found]
    tokens = [calls[1] for calls in most if not isinstance(calls, str)]
    total = f"at most {sum(tokens) * records:,} generated in all" if len(tokens) == len(most) else str(most[0])
    if not config.model.is_here:
        total += "; the model is not on this machine, so its default system prompt is unknown"
    return [
        f"folder    {_folder(found)}",
        f"model     {config.model.name}",
        f"trials    {len(found)} of {records} records each",
        f"tokens    {total}",
        *(f"{letter(place):9} {one.title}" for place, one in enumerate(found)),
    ]


def _folder(found: Sequence[Trial]) -> Path:
    return found[0].config.settings.output_dir.parent


def _pilot(found: Sequence[Trial], words: Sequence[str]) -> int:
    folder, config = _folder(found), found[0].config
    page = folder / "pilot.html"
    try:
        written_over(page, MARK)
    except OSError as error:
        raise ConfigError(f"output_dir: {page} can't be written ({error.strerror})") from None
    if not config.model.is_here:
        print(f"downloading the tokenizer of {config.model.path} from the Hub", file=sys.stderr)
    with ExitStack() as stack:
        places = [stack.enter_context(opened(trial.config)) for trial in found]
        for place in places:
            plan(place, config.settings.num_records)
        try:
            stopped_by = asyncio.run(_run(found, places, folder))
        except (EngineError, OSError, StepsFail) as error:
            print(f"failed: {error.strerror or error if isinstance(error, OSError) else error}", file=sys.stderr)
            return FAILED
    if stopped_by:
        print(
            f"stopped by {stopped_by}: finished records are safe in {folder}; run the same command again to resume",
            file=sys.stderr,
        )
        return STOPPED
    runs = [Run.open(place.folder.path) for place in places]
    comparison = Comparison.of(runs)
    _report(found, comparison, words)
    try:
        write_page(page, runs, MARK, comparison, _own(found, comparison))
    except OSError as error:
        print(f"failed: {page} can't be written ({error.strerror})", file=sys.stderr)
        return FAILED
    print(f"\nThe page is {page}, the rows of each trial are in its folder beside it (python -m synth.inspect)")
    return DONE


async def _run(found: Sequence[Trial], places: Sequence[Opened], folder: Path) -> str | None:
    """Run what is missing. Returns the signal that stopped it."""
    planned = sum(shard.stop - shard.start for place in places for shard in place.manifest.shards)
    if all(shard.index in place.manifest.committed for place in places for shard in place.manifest.shards):
        return None
    print(f"loading the model for {len(found)} trials, {planned:,} records", file=sys.stderr)
    config = found[0].config
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(loaded(config.engine, folder / "engine.log"))
        others = {
            name: await stack.enter_async_context(loaded(one.engine, folder / f"{name}.log"))
            for name, one in config.pools.items()
        }
        for place in places:
            place.begin()
            place.manifest.write(place.folder)
        pairs = [(trial.config, place) for trial, place in zip(found, places, strict=True)]
        runs = SideBySide(engine, pairs, others)
        with stop_signals(lambda line: print(line, file=sys.stderr)) as stop:
            tasks = [asyncio.create_task(one) for one in (runs.run(), stop.wait(), _print_progress(runs, planned))]
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
            stopped_by = stop.signal  # an engine may have got the signal too, and ended
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if not stopped_by:
                await tasks[0]
            return stopped_by


async def _print_progress(runs: SideBySide, planned: int) -> None:
    tokens, then = 0, time.monotonic()
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        counters = await runs.counters()
        running = sum(counter.in_flight for counter in counters)
        before, tokens = tokens, sum(counter.completion_tokens for counter in counters)
        rate, then = (tokens - before) / (time.monotonic() - then), time.monotonic()
        print(f"{running:,} of {planned:,} records running, {tokens:,} tokens, {rate:,.0f} tokens/s", file=sys.stderr)


def _report(found: Sequence[Trial], comparison: Comparison, words: Sequence[str]) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for place, (trial, run) in enumerate(zip(found, comparison.runs, strict=True)):
        console.print(f"\n{letter(place)}  {trial.title}", style="bold")
        show_rows(console, run.rows("kept", SAMPLES) or run.rows("rejected", SAMPLES))
    console.print()
    for line in comparison.lines():
        console.print(line)
    console.print(
        "\nusable: kept, instruction and answer ended by themselves, no filter of Synth finds a fault in them, and "
        "the instruction is no near duplicate of an earlier one"
    )
    console.print(f"Differences of less than {comparison.chance:.0%} may be chance, given so few rows.")
    if comparison.best is None:
        console.print("No trial has a usable row.")
        return
    best, name = found[comparison.best], letter(comparison.best)
    tokens = comparison.found[comparison.best].tokens_per("usable")
    console.print(f"\nBest is {name}, with the most usable rows per generated token: one per {tokens:,.0f} tokens.")
    if near := [letter(place) for place in comparison.near_best]:
        console.print(f"The difference to {', '.join(near)} may be chance; set a larger num_records to decide.")
    console.print(f"  {_own(found, comparison)}")
    console.print(f"  python -m synth.run {run_words(words, best.own, best.words)}")


def _own(found: Sequence[Trial], comparison: Comparison) -> str | None:
    """The best trial's overrides as typed."""
    return None if comparison.best is None else shlex.join(found[comparison.best].words) or "as configured"


if __name__ == "__main__":
    code = main()
    gc.freeze()
    sys.exit(code)
