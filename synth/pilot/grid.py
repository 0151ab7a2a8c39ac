"""The settings that a pilot tries: all combinations of keys with several values on the command line, as in a sweep
(`key=0.7,1.0`), and of three keys that decide how instructions are drawn, unless they are named.

Promises: invalid input is refused here, from names, types, files and, if it is on the machine, the tokenizer. One
engine serves all trials, so only keys that it does not read can have several values.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from synth.chat import ChatTemplateError
from synth.configuration.config import Config
from synth.configuration.config_groups import GROUPS
from synth.configuration.hydra_errors import CommandLine
from synth.configuration.named_models import LOADED
from synth.errors import ConfigError
from synth.models.model import Model
from synth.preview.dry_run import sampling_keys
from synth.steps.endpoints import MAIN
from synth.steps.strategy import Step
from synth.storage.manifest import differing_keys
from synth.trials.trial import (
    Trial,
    composed_trials,
    folder_word,
    in_a_folder,
    refuse_keys_of_runs,
    refuse_unusable,
)

RECORDS = 32
TEMPERATURES, TOP_PS = (0.7, 1.0), (0.9, 1.0)  # beside the configured values
SYSTEM_PROMPT = "model.default_system_prompt"
_VARIED = ("strategy", "seed", "output_dir")  # top-level keys that may have several values


def trials(words: Sequence[str]) -> list[Trial]:
    """The trials of a command line; none if it only asked to print the configuration. Raises ConfigError."""
    named = {override.key_or_group for override in CommandLine(words).overrides}
    refuse_keys_of_runs(named, "pilot")
    words = [*words, *([] if "num_records" in named else [f"num_records={RECORDS}"])]
    first = composed_trials(words)
    if not first:
        return []
    config = first[0].config
    if "output_dir" not in named:
        words = [*words, folder_word(config, "pilot")]
    _refuse(first)
    grid = _grid(first, named)
    found = composed_trials([*words, *(f"{key}={','.join(values)}" for key, values in grid.items() if len(values) > 1)])
    _refuse(found)
    return [in_a_folder(trial) for trial in found] if len(found) == 1 else found


def _refuse(found: Sequence[Trial]) -> None:
    """Refuses what a pilot can't do. Raises ConfigError."""
    one = found[0].config
    for other in found[1:]:
        if differing := differing_keys(_of_engine(one), _of_engine(other.config)):
            raise ConfigError(
                f"{differing[0][0]}: needs a single value, since a pilot loads one engine for all trials; "
                "use python -m synth.run --multirun to try several"
            )
    refuse_unusable(found, "pilot")


def _of_engine(config: Config) -> dict[str, Any]:
    """Everything that is equal for all trials."""
    same = {key: value for key, value in config.resolved.items() if key not in _VARIED}
    return {**same, **_loaded(same), "models": {name: {**one, **_loaded(one)} for name, one in same["models"].items()}}


def _loaded(node: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": {key: node["model"].get(key) for key in LOADED}}


def _grid(found: Sequence[Trial], named: set[str]) -> dict[str, list[str]]:
    """The keys that vary by default, with their values: those that all trials have and that are not named."""
    grids = [own_grid(trial.config) for trial in found]
    keys = [key for key in grids[0] if all(key in grid for grid in grids)]
    grids[0] = {key: list(dict.fromkeys(value for grid in grids for value in grid[key])) for key in keys}
    fixed = tuple(f"{one}." for one in named - set(GROUPS))
    return {key: values for key, values in grids[0].items() if not f"{key}.".startswith(fixed)}


def own_grid(config: Config) -> dict[str, list[str]]:
    """The keys of a configuration that vary by default, with their values, including the configured ones."""
    grid: dict[str, list[str]] = {}
    steps = config.strategy.steps
    if any(map(_draws_under_the_default, steps)) and has_default_system_prompt(config.model):
        grid[SYSTEM_PROMPT] = ["keep", "drop"]
    step = next((step for step in steps if step.description.calls), None)
    drawn = step.description.calls[0] if step and step.description.calls else None
    if step and drawn and drawn.temperature > 0 and (key := _key(step, drawn, config.resolved["strategy"])):
        grid[f"{key}.temperature"] = [f"{one:g}" for one in sorted({*TEMPERATURES, drawn.temperature})]
        grid[f"{key}.top_p"] = [f"{one:g}" for one in sorted({*TOP_PS, drawn.top_p})]
    return grid


def _draws_under_the_default(step: Step) -> bool:
    return MAIN in step.models_as_user and not getattr(step.function, "system_prompts", None)


def has_default_system_prompt(model: Model) -> bool:
    """Whether the chat template writes one before a user's first words. False if the model is not on this machine."""
    if not model.is_here:
        return False
    try:
        kept, dropped = (
            dataclasses.replace(model, default_system_prompt=one).load_chat_template().pre_query()
            for one in ("keep", "drop")
        )
    except ChatTemplateError:
        return False
    return kept != dropped


def _key(step: Step, drawn: Any, strategy: Mapping[str, Any]) -> str | None:
    """The key of the first call's sampling, if a command line can set it."""
    keys = [
        key
        for key, sampling in sampling_keys(step.function, step.name)
        if sampling == dataclasses.replace(drawn, model=sampling.model)
    ]
    if not keys or step.name not in strategy:
        return None
    node: Any = strategy
    for part in keys[0].split("."):
        node = node.get(part, {}) if isinstance(node, Mapping) else None
    return f"strategy.{keys[0]}" if isinstance(node, Mapping) else None
