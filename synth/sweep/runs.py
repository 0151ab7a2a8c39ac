"""The runs of one command line: a heading for each run of a sweep, and a common table and page at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from synth.configuration.config import Config
from synth.configuration.hydra_errors import CommandLine
from synth.sweep.folders import count, swept

MARK = "Synth sweep"  # identifies its own page


class Runs:
    """Called with each run's configuration; call `report` when all have ended."""

    def __init__(self, words: Sequence[str], run: Callable[[Config], int]):
        self._words, self._run = words, run
        self._folders: dict[Path, Path] = {}  # folders of runs that were made, by their configured folders
        self._dry = False

    def __call__(self, config: Config) -> int:
        running = HydraConfig.get()
        if running.mode == RunMode.MULTIRUN:
            overrides = CommandLine(self._words).overrides
            own = " ".join(swept(running.overrides.task, overrides))
            total = count(overrides)
            place = f"{running.job.num + 1}" + (f" of {total}" if total > running.job.num else "")
            print(f"\nrun {place}: {own}" if own else f"\nrun {place}", flush=True)
        settings = config.settings
        self._dry = self._dry or settings.dry_run
        self._folders[settings.output_dir] = settings.run_dir
        return self._run(config)

    def report(self) -> None:
        """Print the table and write the page, if several runs have data."""
        if self._dry or len(self._folders) < 2:
            return
        from synth.report.comparison import Comparison
        from synth.report.page import write_page, write_report
        from synth.report.run_data import Run
        from synth.storage.manifest import Unreadable

        runs = []
        for folder in self._folders.values():
            try:
                runs.append(Run.open(folder))
            except Unreadable:  # it failed before it began
                continue
        if len(runs) < 2:
            return
        comparison = Comparison.of(runs)
        print()
        for line in comparison.lines():
            print(line)
        parents = {folder.parent for folder in self._folders}
        try:
            if len(parents) == 1 and parents != {Path()}:
                page = parents.pop() / "sweep.html"
                write_page(page, runs, MARK, comparison)
            else:
                page = runs[0].folder.path / "comparison.html"
                write_report(page, runs, comparison)
            print(f"The page of all runs is {page}")
        except OSError as error:
            print(f"{page} can't be written ({error.strerror})")
