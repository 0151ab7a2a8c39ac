"""A run from configuration to dataset: open the folder, generate what it lacks, merge, report.

Promises: invalid input is refused before anything is started; a run that ends early for any reason reports where its
finished records are, and the same command resumes it.
"""

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from synth.configuration.config import Config
from synth.engines import EngineError
from synth.errors import ConfigError
from synth.exit_codes import DONE, FAILED, STOPPED, TOO_FEW
from synth.generation import Generation
from synth.preview.dry_run import describe_source
from synth.preview.missing import refuse_what_is_missing
from synth.publishing.publisher import Publisher
from synth.report.outcome import Outcome
from synth.report.page import write_report
from synth.report.progress import Progress
from synth.report.run_data import Run
from synth.report.tracking import Tracking, refuse_missing
from synth.resumption.opening import opened
from synth.schedule.first_records import StepsFail
from synth.schedule.publishing import finish, publisher_of
from synth.schedule.ray_life import RayLost
from synth.schedule.signals import stop_signals
from synth.schedule.worker_handle import WorkerLost
from synth.sources.store import Contents
from synth.storage.card import write_card
from synth.storage.hub import Unpushable, make_ready, push
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.run_folder import RunFolder, atomic_write

log = logging.getLogger("synth")


def run(config: Config) -> int:
    """Generate the dataset. Returns the exit code; raises ConfigError if nothing has been started."""
    if config.source:
        config.source.stamp()  # missing files are reported before the folder is created
    if config.settings.tracking:
        refuse_missing(config.settings.tracking)
    for model in config.templated.values():
        if not model.is_here:
            print(f"downloading the tokenizer of {model.path} from the Hub", file=sys.stderr)
            with suppress(OSError, ValueError):  # reported below, for its tokenizer
                _ = model.config  # now in the cache
    refuse_what_is_missing(config)
    hub = config.settings.push_to_hub
    with opened(config) as place:
        if hub:
            _make_ready(hub)
        publisher = publisher_of(config, place.folder, place.manifest)
        code = asyncio.run(_Run(config, *place, publisher=publisher).finish())
        if code in (DONE, TOO_FEW):
            _let_signals_interrupt()
        published = finish(publisher, place.folder, place.manifest, code) if publisher else code
        pushed = _push(place.folder, hub, code) if hub else code
        return published if pushed == DONE else pushed


def _let_signals_interrupt() -> None:
    """Like Ctrl-C: the same command continues what is sent."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.default_int_handler)


def _make_ready(hub: str) -> None:
    try:
        make_ready(hub)
    except Unpushable as error:
        raise ConfigError(f"push_to_hub: {error}") from None


def _push(folder: RunFolder, hub: str, code: int) -> int:
    """The run's own exit code, unless it has succeeded and the push fails."""
    if code == TOO_FEW:
        print(f"not pushed; run python -m synth.export {folder.path} --push-to-hub {hub} to push", file=sys.stderr)
    if code != DONE:
        return code
    print(f"pushing to {hub}", file=sys.stderr)
    try:
        print(f"pushed to {push(folder, hub)}", file=sys.stderr)
    except Unpushable as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    return DONE


class _Run:
    """One process of a run, from its opened folder to the exit code."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        manifest: Manifest,
        contents: Contents,
        begin: Callable[[], None],
        publisher: Publisher | None,
    ):
        self._config, self._folder, self._manifest, self._contents = config, folder, manifest, contents
        self._write_down, self._begun = begin, False
        self._wanted = manifest.own(contents.size) or 0 if manifest.wanted is None else manifest.wanted
        self._progress = Progress(folder.metrics)
        self._generation = Generation(
            *(config, folder, manifest, contents),
            begin=self._begin,
            publisher=publisher,
            progress=self._progress,
            wanted=self._wanted,
        )
        self._started = time.monotonic()

    async def finish(self) -> int:
        kind = self._config.settings.tracking
        with self._progress.warnings_of(log):
            if kind is None:
                return await self._make()
            tracking = Tracking(kind, self._folder, self._manifest, self._config.resolved)
            self._progress.followers.append(tracking)
            code = FAILED
            try:
                code = await self._make()
            finally:
                await asyncio.to_thread(tracking.end, code)
            return code

    async def _make(self) -> int:
        with self._progress:
            with stop_signals(self._progress.print_line) as stopping:
                try:
                    plan = self._generation.plan(1)
                    tried = not (plan.done or plan.hopeless)
                    if tried:
                        plan = await self._generation.run(stopping)
                    else:
                        self._begin_nothing()
                    self._manifest.write(self._folder)
                    if stopping.signal and not plan.done:
                        self._progress.print_line(
                            f"stopped by {stopping.signal}: {self._generation.kept:,} records kept so far are safe in "
                            f"{self._folder.path}; run the same command again to resume"
                        )
                        return STOPPED
                    with self._progress.doing("merging the shards"):
                        rows = await asyncio.to_thread(self._merge)
                except (RayLost, StepsFail, WorkerLost, EngineError, OSError) as error:
                    with suppress(OSError):  # the disk may be full: the shards' own notes suffice
                        self._begin()
                        self._manifest.write(self._folder)
                    reason = error.strerror if isinstance(error, OSError) else None
                    self._progress.print_line(f"failed: {reason or error}")
                    self._progress.print_line(
                        f"finished records are safe in {self._folder.path}; logs are in {self._folder.logs}"
                    )
                    return FAILED
            with self._progress.doing("writing the report"):
                self._report()
        run = Run(self._folder, self._manifest)
        outcome = Outcome(run, self._config.strategy, rows, self._wanted, self._progress.print_line)
        outcome.show(time.monotonic() - self._started)
        if plan.done and (rows or not self._wanted):
            if not tried:
                outcome.report_nothing_new()
            return DONE
        outcome.report_too_few(None if plan.exhausted else self._config.settings.min_yield, tried)
        return TOO_FEW

    def _begin(self) -> None:
        """Nothing can refuse the run any more: from here on its folder is written to."""
        if not self._begun:
            self._begun = True
            self._write_down()
            self._progress.before = Run(self._folder, self._manifest).reserved
            if self._contents.bad_rows:
                self._progress.print_line(
                    f"source: {describe_source(self._config, self._contents)}, see {self._folder.source}"
                )

    def _begin_nothing(self) -> None:
        """A configuration that adds no row is not recorded in the folder."""
        config = self._folder.config
        before = config.read_text() if self._manifest.withdraw() and config.exists() else None
        self._begin()
        if before is not None:
            with atomic_write(config) as unfinished:
                unfinished.write_text(before)

    def _merge(self) -> int:
        runs = [(self._folder, self._manifest)]
        rows = merge(runs, self._folder.dataset, self._manifest.wanted)
        reserved = Run(self._folder, self._manifest).reserved
        write_card(self._folder, runs, rows, self._manifest.wanted, reserved.cost_of_tokens)
        return rows

    def _report(self) -> None:
        try:
            write_report(self._folder.report, [Run(self._folder, self._manifest)])
        except Exception as error:  # the dataset is complete, so a failed report must not fail the run
            self._progress.print_line(f"{self._folder.report.name} can't be written: {error}")
