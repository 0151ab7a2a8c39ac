"""The engine settings that a tune measures: all combinations of engine keys with several values on the command line, as
in a sweep (`engine.max_num_seqs=128,256`); by default of two keys that decide the batch size.

Promises: invalid input is refused here, before any engine is started. Only engine keys differ, so that all candidates
get the same requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.configuration.config import Config
from synth.configuration.hydra_errors import CommandLine
from synth.engines.vllm_engine import BATCHED_TOKENS, SEQS
from synth.errors import ConfigError, nearest
from synth.storage.manifest import differing_keys
from synth.trials.trial import Trial, composed_trials, folder_word, in_a_folder, refuse_keys_of_runs, refuse_unusable

MINUTES = 2.0  # of measurement per engine, without its start
BATCHES = 4  # records, as a multiple of the largest batch: one fills it, one empties it, the others are measured
# Defaults, as multiples of the configured values. Tokens per step matter for chunked prefill.
_UNASKED = {"max_num_seqs": (0.25, 1, 4), "max_num_batched_tokens": (1, 2)}
_AUTO = {"max_num_seqs": SEQS, "max_num_batched_tokens": BATCHED_TOKENS}


@dataclass(frozen=True)
class Plan:
    """The candidates; each is measured on `records` records or for `minutes`, whichever ends first."""

    candidates: list[Trial]
    records: int
    minutes: float

    @property
    def line(self) -> str:
        count = len(self.candidates)
        return (
            f"{count} engine(s) one after another, each measured on {self.records:,} records or for {self.minutes:g} "
            f"minute(s): at most {count * self.minutes:g} minutes in all, plus {count} starts"
        )


def planned(words: Sequence[str]) -> Plan | None:
    """The plan of a command line; None if it only asked to print the configuration. Raises ConfigError."""
    words, minutes = without_minutes(words)
    overrides = CommandLine(words).overrides
    named = {override.key_or_group for override in overrides}
    refuse_keys_of_runs(named, "tune")
    several = [override.key_or_group for override in overrides if override.is_sweep_override()]
    for key in several:
        if key != "engine" and not key.startswith("engine."):
            raise ConfigError(
                f"{key}: needs a single value, since a tune varies settings of the engine only; use python -m "
                "synth.pilot to try several"
            )
    found = composed_trials(words)
    if not found:
        return None
    config = found[0].config
    more = [] if "output_dir" in named else [folder_word(config, "tune")]
    grid = {} if several else unasked(config.resolved["engine"], named)
    more += [f"{key}={','.join(values)}" for key, values in grid.items()]
    if more:
        found = composed_trials([*words, *more])
    _refuse(found)
    records = config.settings.num_records
    if "num_records" not in named or records == "all":
        records = BATCHES * max(trial.config.engine.concurrency for trial in found)
    return Plan([in_a_folder(found[0])] if len(found) == 1 else found, records, minutes)


def unasked(engine: Mapping[str, Any], named: set[str]) -> dict[str, list[str]]:
    """The keys that vary by default, except those that are named."""
    grid = {}
    for name, factors in _UNASKED.items():
        value = _AUTO.get(name) if engine.get(name) == "auto" else engine.get(name)
        if isinstance(value, int) and f"engine.{name}" not in named:
            grid[f"engine.{name}"] = [str(max(1, int(value * factor))) for factor in factors]
    return grid


def without_minutes(words: Sequence[str]) -> tuple[list[str], float]:
    """Splits off `minutes`, a key of tune only, from the other words."""
    kept = [word for word in words if word.lstrip("+").partition("=")[0] != "minutes"]
    values = [word.partition("=")[2] for word in words if word.lstrip("+").partition("=")[0] == "minutes"]
    for word in kept:
        name, equals, _ = word.partition("=")
        if equals and "." not in name and "did you mean" in (near := nearest(name, ["minutes"])):
            raise ConfigError(f"{name}: no such key{near}")
    try:
        minutes = float(values[-1]) if values else MINUTES
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise ConfigError(f"minutes: must be a number above 0, got {values[-1]!r}")
    return kept, minutes


def _refuse(found: Sequence[Trial]) -> None:
    first = _but_engine(found[0].config)
    for other in found[1:]:
        if differing := differing_keys(first, _but_engine(other.config)):
            raise ConfigError(f"{differing[0][0]}: differs between the engines, but all must get the same requests")
    refuse_unusable(found, "tune")


def _but_engine(config: Config) -> dict[str, Any]:
    return {key: value for key, value in config.resolved.items() if key not in ("engine", "output_dir", "models")}
