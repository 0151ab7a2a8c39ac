"""A trial: one combination of keys with several values on the command line, as in a sweep (`key=0.7,1.0`), with its
whole configuration.

Promises: invalid input is refused here, from names, types, files and, if it is on the machine, the tokenizer.
"""

import dataclasses
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.config import Config
from synth.configuration.hydra_errors import CommandLine
from synth.errors import ConfigError
from synth.preview.missing import refuse_what_is_missing
from synth.run import composed

OF_A_RUN = ("slice", "push_to_hub", "publish", "tracking", "retry", "price_per_gpu_hour", "estimate_from")
NOT_THE_SETTINGS = ("num_records", "output_dir", "dry_run", "resume")


@dataclass(frozen=True)
class Trial:
    """A combination: its configuration, and its own overrides by key."""

    config: Config
    own: dict[str, str]

    @property
    def words(self) -> list[str]:
        """Its own overrides as typed."""
        return [f"{'+' if key == 'strategy' else ''}{key}={value}" for key, value in self.own.items()]

    @property
    def title(self) -> str:
        return " ".join(self.words) or "as configured"


def composed_trials(words: Sequence[str]) -> list[Trial]:
    """All combinations; none if the words only ask to print the configuration. Raises ConfigError."""
    found: list[tuple[Config, list[str]]] = []

    def collect(config: Config) -> int:
        found.append((config, list(HydraConfig.get().overrides.task)))
        return 0

    composed([*words, *([] if CommandLine(words).asks_to_print else ["--multirun"])], collect)
    shared = set.intersection(*(set(overrides) for _, overrides in found)) if found else set()
    return [
        Trial(config, dict(_pair(override) for override in overrides if override not in shared))
        for config, overrides in found
    ]


def refuse_keys_of_runs(named: Collection[str], command: str) -> None:
    for key in OF_A_RUN:
        if key in named:
            raise ConfigError(f"{key}: is for a run; leave it out of a {command}")


def refuse_unusable(trials: Sequence[Trial], command: str) -> None:
    """Refuses configurations that no trial can run. Raises ConfigError."""
    pools = trials[0].config.pools
    if own := next((name for name, served in pools.items() if served.engine.placement(False, 0).gpus), None):
        raise ConfigError(
            f"models.{own}: a {command} loads all models in one process without dividing GPUs; leave it "
            "out, or use python -m synth.run --multirun"
        )
    checked: list[Any] = []
    for trial in trials:
        refuse_what_is_missing(trial.config)
        if trial.config.model.is_here and trial.config.resolved["model"] not in checked:
            refuse_bad_chat_template(trial.config)
            checked.append(trial.config.resolved["model"])


def folder_word(config: Config, command: str) -> str:
    """The override for the folder of all trials, if the command line has none."""
    name = f"{config.strategy.name}-{str(config.model.name).rstrip('/').rpartition('/')[2]}"
    return f"output_dir={command}s/{re.sub(r'[^A-Za-z0-9_.+-]+', '_', name)}"


def in_a_folder(trial: Trial, name: str = "trial") -> Trial:
    """In a folder of its own, below output_dir."""
    return dataclasses.replace(trial, config=trial.config.in_folder(trial.config.settings.output_dir / name))


def hint(error: str, words: Sequence[str]) -> str:
    """Advice for several values written as a list, which is a single value to Hydra."""
    key = error.partition(":")[0]
    value = next((word.partition("=")[2] for word in words if word.lstrip("+~").partition("=")[0] == key), "")
    return f"; write values to try one after another as {key}={value[1:-1]}" if value.startswith("[") else ""


def run_words(words: Sequence[str], dropped: Collection[str], added: Sequence[str]) -> str:
    """The overrides of a run: without the `dropped` keys and other words, and with those `added`."""
    keys = {str(override.input_line): override.key_or_group for override in CommandLine(words).overrides}
    kept = [word for word in words if keys.get(word) not in {*NOT_THE_SETTINGS, *dropped}]
    return shlex.join([*kept, *added])


def _pair(override: str) -> tuple[str, str]:
    read = OverridesParser.create().parse_override(override)
    return read.get_key_element().lstrip("+~"), read.get_value_element_as_str()
