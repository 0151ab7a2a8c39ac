"""Generates a dataset from Python: synth.generate("magpie", num_records=100).

Keys are those of the command line, which runs in a process of its own: a notebook's event loop, signals and memory are
untouched, and Ray and the engines are gone when the call returns. Errors of the command line become a ConfigError with
the same message, and advice in Python syntax.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from synth.errors import ConfigError
from synth.exit_codes import BAD_INPUT, DONE, STOPPED, TOO_FEW
from synth.paths import local_path
from synth.pipeline import Pipeline

if TYPE_CHECKING:
    from datasets import Dataset

_GROUPS = ("strategy", "model", "engine", "cluster", "source")
# `key=value` as typed, possibly quoted: of a group, or of a run.
_ADVICE = re.compile(
    rf"(?<![\w.])(['\"]?)\+{{0,2}}((?:{'|'.join(_GROUPS)}|models|num_records|output_dir|resume|retry|min_yield)(?:\.\w+)*)"
    r"=(\{[^{}]*\}|\[[^\[\]]*\]|[^\s;,'\"()]+)\1"
)
_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


class RunFailed(RuntimeError):
    """The run ended without a dataset. The message has its last lines."""


def generate(
    strategy: str | Pipeline, *, overrides: Sequence[str] = (), output_dir: str | Path | None = None, **keys: Any
) -> "Dataset":
    """Run a strategy and return its dataset, which may have fewer rows than asked for.

    `strategy` is a name, or a Pipeline. Keys of groups are dicts or dotted names: engine={"max_num_seqs": 64},
    **{"engine.max_num_seqs": 64}. `source` may also be rows: a list of dicts or a Dataset, or the path of a file.
    `overrides` are further words of the command line. With an `output_dir` the same call resumes the run there; None is
    a temporary folder that is removed when the Python process ends.

    Raises ConfigError, RunFailed, and KeyboardInterrupt if the run was stopped.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"overrides: must be a list of words, as [{overrides!r}]")
    if output_dir is None:
        output_dir = _temporary("dataset-of-synth-")
    if keys.get("dry_run"):
        raise ConfigError("dry_run: returns no dataset; use the command line to print the plan")
    if keys.get("slice"):
        raise ConfigError("slice: returns no dataset; use the command line for slices")
    if "source" in keys:
        keys["source"] = _source(keys["source"])
    chosen = strategy.keys() if isinstance(strategy, Pipeline) else strategy
    keys = {"strategy": chosen, "output_dir": str(output_dir), **keys}
    code, lines = run_command([*override_words(keys), *overrides])
    if code == BAD_INPUT:
        raise ConfigError(in_python(lines[-1].removeprefix("error: ")))
    if code in (STOPPED, -signal.SIGINT):
        raise KeyboardInterrupt
    if code not in (DONE, TOO_FEW):
        raise RunFailed("\n".join(lines))
    from datasets import load_from_disk

    return load_from_disk(str(local_path(output_dir) / "dataset"))


def in_python(line: str) -> str:
    """An error of the command line, with each `key=value` of its advice as an argument of `generate`."""

    def argument(found: re.Match[str]) -> str:
        _, key, value = found.groups()
        parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"{key}={value}"]))
        ((name, keys),) = parsed.items()
        return f"{name}={value if keys == value and value.isupper() else repr(keys)}"  # NAME stands for any

    return _ADVICE.sub(argument, line)


def _source(given: Any) -> Any:
    """Keys of the group. Rows are written to a temporary file, which the run copies."""
    if isinstance(given, Path):
        return {"choice": "file", "path": str(given)}
    if isinstance(given, str | Mapping):
        return given
    if not (hasattr(given, "save_to_disk") or isinstance(given, Iterable)):
        raise ConfigError(f"source: must be a list of dicts, a Dataset, a file's path, or keys; got {given!r}")
    folder = Path(_temporary("rows-for-synth-"))
    if hasattr(given, "save_to_disk"):
        given.save_to_disk(str(folder / "rows"))
        return {"choice": "file", "path": str(folder / "rows")}
    path = folder / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(given):
            if not isinstance(row, Mapping):
                raise ConfigError(f"source: must be rows, each a dict of columns, and row {number} is {row!r}")
            try:
                file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")
            except (TypeError, ValueError) as error:
                raise ConfigError(f"source: row {number} is not plain data ({error})") from None
    return {"choice": "file", "path": str(path)}


def _temporary(prefix: str) -> str:
    _folders.append(tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True))
    return _folders[-1].name


def run_command(words: Sequence[str]) -> tuple[int, list[str]]:
    """The exit code and the last lines of output. All lines are printed as they come, except the error."""
    # The run can import what this process can.
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    env |= {"FORCE_COLOR": "", "TTY_INTERACTIVE": "0"}  # a notebook counts as a terminal, and would print every frame
    last_lines: deque[str] = deque(maxlen=20)
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
                last_lines.append(line.rstrip("\n"))
                if not line.startswith("error: "):
                    print(line, end="", flush=True)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        code = process.wait()
        summary.seek(0)
        print(summary.readline(), end="", flush=True)
    return code, list(last_lines) or [f"exit code {code}"]


def override_words(keys: Mapping[str, Any]) -> Iterator[str]:
    """Overrides for Hydra. A string chooses an option of a group, as does its key `choice`; keys of a group may be
    new."""
    for key, value in keys.items():
        if key in _GROUPS and isinstance(value, str):
            yield f"{'+' if key == 'strategy' else ''}{key}={value}"
        elif isinstance(value, Mapping) and value:
            if key in _GROUPS and "choice" in value:
                yield f"{key}={value['choice']}"
                value = {name: one for name, one in value.items() if name != "choice"}
            yield from override_words({f"{key}.{name}": one for name, one in value.items()})
        else:
            yield f"++{key}={override_value(value)}"


def override_value(value: Any) -> str:
    """A value in Hydra's syntax. `${...}` in a string stays an interpolation."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{override_value(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(override_value, value)) + "]"
    # Backslashes are special only before a quotation mark, which includes the end.
    text = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), str(value))
    return f'"{text}"'
