"""A dataset from Python: synth.generate(strategy="magpie", num_records=100).

The keys are those of the command line, because it is the command line that runs, as a process of its own: a notebook's
event loop, signals and memory stay what they are, and Ray and the engines are gone when the call returns. What the
command line refuses is a ConfigError of the same words.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.components import ConfigError
from synth.exit_codes import BAD_INPUT, DONE, STOPPED, TOO_FEW
from synth.paths import local_path

if TYPE_CHECKING:
    from datasets import Dataset

_GROUPS = ("strategy", "model", "engine", "cluster", "source")
_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


class RunFailed(RuntimeError):
    """The run ended before its dataset was there. The message is the last that it said."""


def generate(
    strategy: str, *, overrides: Sequence[str] = (), output_dir: str | Path | None = None, **keys: Any
) -> "Dataset":
    """Run a strategy and return its dataset, which has fewer rows than asked for where the run says so.

    Keys of groups are dicts or dotted names: engine={"max_num_seqs": 64}, **{"engine.max_num_seqs": 64}. `overrides`
    are further words as on the command line. With an `output_dir` the same call goes on with what is there; None is a
    temporary folder that is gone when the Python process ends.

    Raises ConfigError, RunFailed, and KeyboardInterrupt where the run was stopped.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"overrides: must be a list of words, as [{overrides!r}]")
    if output_dir is None:
        _folders.append(tempfile.TemporaryDirectory(prefix="dataset-of-synth-", ignore_cleanup_errors=True))
        output_dir = _folders[-1].name
    if keys.get("dry_run"):
        raise ConfigError("dry_run: gives no dataset; the command line prints the plan")
    if keys.get("slice"):
        raise ConfigError("slice: gives no dataset of its own; the command line makes it")
    keys = {"strategy": strategy, "output_dir": str(output_dir), **keys}
    code, told = _run([*_words(keys), *overrides])
    if code == BAD_INPUT:
        raise ConfigError(told[-1].removeprefix("error: "))
    if code in (STOPPED, -signal.SIGINT):
        raise KeyboardInterrupt
    if code not in (DONE, TOO_FEW):
        raise RunFailed("\n".join(told))
    from datasets import load_from_disk

    return load_from_disk(str(local_path(output_dir) / "dataset"))


def _run(words: Sequence[str]) -> tuple[int, list[str]]:
    """The exit code, and the last lines that were said. All lines are printed as they come, but for the error."""
    # What this process can import, the steps of the run can.
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    env |= {"FORCE_COLOR": "", "TTY_INTERACTIVE": "0"}  # a notebook asks for colours, and would get a film of frames
    said: deque[str] = deque(maxlen=20)
    with (
        tempfile.TemporaryFile("w+") as summary,
        subprocess.Popen(
            [sys.executable, "-m", "synth.run", *words],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=summary,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                said.append(line.rstrip("\n"))
                if not line.startswith("error: "):
                    print(line, end="", flush=True)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        code = process.wait()
        summary.seek(0)
        print(summary.readline(), end="", flush=True)
    return code, list(said) or [f"exit code {code}"]


def _words(keys: Mapping[str, Any]) -> Iterator[str]:
    """Hydra's overrides. A text chooses an option of a group; of a group's keys, new ones are allowed."""
    for key, value in keys.items():
        if key in _GROUPS and isinstance(value, str):
            yield f"{'+' if key == 'strategy' else ''}{key}={value}"
        elif isinstance(value, Mapping) and value:
            yield from _words({f"{key}.{name}": one for name, one in value.items()})
        else:
            yield f"++{key}={_written(value)}"


def _written(value: Any) -> str:
    """A value as Hydra reads it. `${...}` in a text stays an interpolation."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    # Backslashes mean something before a quotation mark only, and the end is one.
    text = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), str(value))
    return f'"{text}"'
