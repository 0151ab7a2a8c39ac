"""Finds engine settings for this machine: python -m synth.tune +strategy=magpie model=… [engine.KEY=a,b] [overrides].

Starts an engine for each combination of settings (synth/tune/grid.py), one after another, runs records of the strategy
on it, and reports its speed: a table, the fastest settings as a file for `engine=FILE`, and the command of a run with
it. An engine that does not start is a line of the table.

Exit codes are those of a pilot: 0 done, 2 bad configuration (nothing was started), 75 stopped by a signal, 1 anything
else, such as no engine that could be measured.
"""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from synth.configuration.hydra_errors import CommandLine
from synth.errors import ConfigError
from synth.exit_codes import BAD_INPUT, DONE, FAILED, STOPPED
from synth.printable import printable, write
from synth.report.comparison import letter
from synth.schedule.signals import stop_signals
from synth.storage.run_folder import written_over
from synth.trials.trial import hint, run_words
from synth.tune.candidate import measured
from synth.tune.grid import Plan, planned, without_minutes
from synth.tune.outcome import MARK, Outcome, best, table, write_preset

HELP = """\
Which engine settings suit this machine: engines started one after another, and how fast each was.

  python -m synth.tune +strategy=magpie model=qwen3-8b
  python -m synth.tune +strategy=magpie model=qwen3-8b engine.max_num_seqs=256,512,1024 minutes=3
  python -m synth.tune +strategy=magpie model=qwen3-8b dry_run=true     the engines only

Takes the overrides of a run (python -m synth.run --help). A key of the engine may have several
values, engine.KEY=a,b: every combination is an engine. Other keys have one value.

  minutes=2            measured on each engine at most, without its start
  num_records=N        records for each engine at most; four times the largest batch by default
  output_dir=FOLDER    tunes/STRATEGY-MODEL by default

Where no key has several values, engine.max_num_seqs and engine.max_num_batched_tokens are varied.

Prints a table and the fastest engine as a command; writes its keys into the folder, as engine.yaml
for engine=FILE of a run. The records are thrown away. docs/tune.md explains the table.

Exit codes: 0 done; 2 bad configuration, nothing started; 75 stopped by a signal; 1 anything else,
such as no engine that could be measured.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if CommandLine(words).asks_help:
            write(HELP.rstrip())
            return DONE
        plan = planned(words)
        if plan is None:
            return DONE
        folder = plan.candidates[0].config.settings.output_dir.parent
        if plan.candidates[0].config.settings.dry_run:
            write("\n".join(_described(plan, folder)))
            return DONE
        return _tune(plan, folder, words)
    except ConfigError as error:
        print(f"error: {error}{hint(str(error), words)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return STOPPED


def _described(plan: Plan, folder: Path) -> list[str]:
    return [
        f"folder    {folder}",
        f"model     {plan.candidates[0].config.model.name}",
        f"engines   {plan.line}",
        *(f"{letter(place):9} {one.title}" for place, one in enumerate(plan.candidates)),
    ]


def _tune(plan: Plan, folder: Path, words: Sequence[str]) -> int:
    preset = folder / "engine.yaml"
    try:
        written_over(preset, MARK)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir: {preset} can't be written ({error.strerror})") from None
    print(plan.line, file=sys.stderr)
    outcomes, stopped_by = asyncio.run(_measure(plan, folder))
    if not outcomes:
        return STOPPED
    star = best(outcomes)
    write("\n" + "\n".join(map(printable, table(outcomes, star))) + "\n")
    if cut := [letter(place) for place, one in enumerate(outcomes) if one.speed and not one.measured.all_made]:
        print(
            f"Time ran out before all records ran on {', '.join(cut)}: minutes={2 * plan.minutes:g} is more accurate."
        )
    if stopped_by:
        print(f"stopped by {stopped_by}: the same command starts from the beginning", file=sys.stderr)
        return STOPPED
    if star is None:
        print(f"failed: no engine could be measured; their logs are in {folder}", file=sys.stderr)
        return FAILED
    try:
        write_preset(preset, outcomes[star], shlex.join(words))
    except OSError as error:
        print(f"failed: {preset} can't be written ({error.strerror})", file=sys.stderr)
        return FAILED
    chosen = {word.lstrip("+~").partition("=")[0] for word in words}
    of_engine = [key for key in chosen if key == "engine" or key.startswith("engine.")]
    command = run_words(without_minutes(words)[0], of_engine, [f"engine={preset}"])
    print(f"Fastest is {letter(star)}: {outcomes[star].trial.title}\n  python -m synth.run {command}")
    return DONE


async def _measure(plan: Plan, folder: Path) -> tuple[list[Outcome], str | None]:
    """The outcomes of all candidates, or of those before a signal."""
    outcomes: list[Outcome] = []
    with stop_signals(lambda line: print(f"{line.partition(':')[0]}: ending the engine", file=sys.stderr)) as stop:
        stopping = asyncio.create_task(stop.wait())
        for place, trial in enumerate(plan.candidates):
            name = letter(place)
            print(f"{name}  {trial.title}", file=sys.stderr)
            records = trial.config.settings.output_dir
            shutil.rmtree(records, ignore_errors=True)
            log = folder / f"{name}.log"
            log.unlink(missing_ok=True)
            work = asyncio.create_task(measured(trial.config, plan.records, plan.minutes * 60, log))
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            with suppress(asyncio.CancelledError):
                outcomes.append(Outcome(trial, await work))
            shutil.rmtree(records, ignore_errors=True)
            if stop.signal:
                break
        stopping.cancel()
    return outcomes, stop.signal


if __name__ == "__main__":
    sys.exit(main())
