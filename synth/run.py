"""The main job: python -m synth.run +strategy=magpie [overrides].

Hydra composes the configuration, synth.configuration validates it, synth.job runs it. This module turns errors into one
line and an exit code: 0 done, 2 bad configuration (nothing started), 3 fewer records than asked, 75 stopped by a signal
(run again to resume), 1 anything else. Other commands with a run's overrides use it too.
"""

import gc
import io
import os
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from synth.configuration.composition import guard_environment
from synth.configuration.config import Config
from synth.configuration.config_groups import CONF_DIR
from synth.configuration.hydra_errors import CommandLine, in_full
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.exit_codes import BAD_INPUT, STOPPED
from synth.printable import write
from synth.sweep.folders import fixed_keys, folder_name, hydras_folder
from synth.sweep.runs import Runs

HELP_COLUMNS = 100


class _Ended(BaseException):
    """Ends a sweep at once: Hydra would print an Exception in its own lines, and go on."""

    def __init__(self, why: Exception | int):
        self.why = why


def _configured(composed: DictConfig, fixed: Collection[str]) -> Config:
    """`fixed` are the keys with one value in all runs of a sweep."""
    config = parse(composed)
    running = HydraConfig.get()
    if running.mode == RunMode.MULTIRUN and (name := folder_name(running.overrides.task, fixed)):
        # The runs of a sweep differ, and each needs a folder of its own.
        config = config.in_folder(config.settings.output_dir / name)
    return config


def _run(config: Config) -> int:
    from synth.resumption.unnamed import in_unnamed_folder

    running = HydraConfig.get()
    named = any(word.lstrip("+").startswith("output_dir=") for word in running.overrides.task)
    is_default = str(config.settings.output_dir) == f"runs/{config.strategy.name}"  # a file may set it, too
    if named or not is_default or running.mode == RunMode.MULTIRUN:
        return _run_in_folder(config)
    return in_unnamed_folder(config, _run_in_folder)


def _run_in_folder(config: Config) -> int:
    if config.settings.dry_run:
        from synth.preview.dry_run import describe

        write(describe(config))
        return 0

    from synth import job  # after the configuration is validated: this imports Ray

    return job.run(config)


def main(arguments: Sequence[str] | None = None, work: Callable[[Config], int] | None = None) -> int:
    """Run `work`, by default a run, on the composed configuration. Returns the exit code, a multirun's highest."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    runs = Runs(words, _run)
    try:
        code = composed(words, work or runs)
        if code != STOPPED:
            runs.report()
        return code
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return STOPPED


def composed(words: Sequence[str], work: Callable[[Config], int]) -> int:
    """Like `main`, for other commands: errors are raised. Raises ConfigError."""
    # Makes Hydra raise exceptions instead of printing them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    typed = sys.argv
    sys.argv = [typed[0], *words]
    try:
        return _compose_and_run(words, work)
    finally:
        sys.argv = typed


def _compose_and_run(words: Sequence[str], work: Callable[[Config], int]) -> int:
    codes: list[int] = []
    command_line = CommandLine(words)
    fixed = fixed_keys(command_line.overrides)

    @hydra.main(version_base=None, config_path=str(CONF_DIR), config_name="config")
    def job(composed: DictConfig) -> None:
        try:
            code = work(_configured(composed, fixed))
        except Exception as error:
            raise _Ended(error) from None
        codes.append(code)
        if code == STOPPED:
            raise _Ended(code)

    guard_environment()
    sys.argv[1:] = command_line.words
    try:
        command_line.refuse_keys_of_hydra()
        with hydras_folder(), _folded(command_line.asks_help):
            job()
    except SystemExit as end:  # raised by --help and the like
        return int(end.code or 0)
    except _Ended as end:
        if isinstance(end.why, Exception):
            raise end.why from None
        return end.why
    except ConfigError:
        raise
    except Exception as error:
        if (key := command_line.new_key(error)) is not None:
            try:
                return _compose_and_run(command_line.with_new(key), work)
            except ConfigError as wrong:
                raise ConfigError(in_full(str(wrong), key)) from None
        raise ConfigError(command_line.explain(error)) from None
    return max(codes, default=0)


@contextmanager
def _folded(asks_help: bool) -> Iterator[None]:
    """Hydra prints the choices of a group on one line, however long: help is folded to HELP_COLUMNS."""
    if not asks_help:
        yield
        return
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().rstrip().splitlines()
        folded = (textwrap.fill(line, HELP_COLUMNS, subsequent_indent="  ", break_on_hyphens=False) for line in lines)
        print("\n".join(folded))


if __name__ == "__main__":
    code = main()
    gc.freeze()  # everything is written; freeing a large heap takes seconds on a busy machine
    sys.exit(code)
