"""The default output folder, if the command line sets none: runs/STRATEGY, else runs/STRATEGY-2 and so on.

Promises: the same command resumes its run, whatever ran in between. Another experiment starts in a new folder, as with
Hydra. If the command line sets output_dir, this module is not used: another run in that folder is an error.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from synth.configuration.config import Config
from synth.errors import AnotherRun
from synth.storage.run_folder import RunFolder


def in_unnamed_folder(config: Config, run: Callable[[Config], int]) -> int:
    """What `run` returns for the first folder with this run, else for the first free one. Raises ConfigError.

    `resume=force` and `resume=never` apply to runs/STRATEGY only. `retry` starts no new run.
    """
    if config.settings.resume != "auto":
        return run(config)
    refused: AnotherRun | None = None
    for path in _folders(config.settings.output_dir, bool(config.settings.retry)):
        if refused is not None:
            print(f"{refused.folder} holds another run: {refused.differing}", file=sys.stderr)
        try:
            return run(config if path == config.settings.output_dir else config.in_folder(path))
        except AnotherRun as error:
            refused = error
    assert refused is not None  # there is always a folder, and a free one never raises AnotherRun
    raise refused


def _folders(first: Path, only_held: bool) -> Iterator[Path]:
    """Folders with runs, in order, then the first free one."""
    names = os.listdir(first.parent) if first.parent.is_dir() else []
    found = (re.fullmatch(rf"{re.escape(first.name)}-([2-9]|[1-9]\d+)", name) for name in names)
    paths = {1: first, **{int(one[1]): first.with_name(one[0]) for one in found if one}}
    held = [path for _, path in sorted(paths.items()) if _holds_run(path)]
    yield from held
    if first not in held:
        yield first
    elif not only_held:
        yield first.with_name(f"{first.name}-{next(number for number in count(2) if number not in paths)}")


def _holds_run(path: Path) -> bool:
    folder = RunFolder(path)
    return folder.manifest.exists() or bool(folder.slices())
