"""Which settings a pilot tries: all combinations of the keys that a command line gives several values, as a sweep has
them (`key=0.7,1.0`), and of three keys that decide how instructions are drawn, unless it names them.

Promises: what can be refused is refused here, from names, types, files and, where it is on the machine, the tokenizer.
One engine serves all trials, so only keys that it does not read can have several values.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from synth.chat import ChatTemplateError
from synth.configuration.config import GROUPS, Config, ConfigError, refuse_bad_chat_template
from synth.configuration.hydra_errors import CommandLine
from synth.configuration.named_models import LOADED
from synth.models.model import Model
from synth.preview.dry_run import sampling_keys
from synth.preview.missing import refuse_what_is_missing
from synth.run import composed
from synth.steps.llm import MAIN
from synth.steps.strategy import Step
from synth.storage.manifest import differing_keys

RECORDS = 32
TEMPERATURES, TOP_PS = (0.7, 1.0), (0.9, 1.0)  # beside what is configured
SYSTEM_PROMPT = "model.default_system_prompt"
_OF_A_RUN = ("slice", "push_to_hub", "tracking", "retry", "price_per_gpu_hour", "estimate_from")
_VARIED = ("strategy", "seed", "output_dir")  # top-level keys that may have several values


@dataclass(frozen=True)
class Trial:
    """One combination: its configuration, and the overrides that are its own, by their keys."""

    config: Config
    own: dict[str, str]

    @property
    def words(self) -> list[str]:
        """Its own overrides as they are typed."""
        return [f"{'+' if key == 'strategy' else ''}{key}={value}" for key, value in self.own.items()]


def trials(words: Sequence[str]) -> list[Trial]:
    """The trials of a command line; none where it only asked for help. Raises ConfigError."""
    named = {one.key_or_group for one in CommandLine(words).overrides}
    for key in _OF_A_RUN:
        if key in named:
            raise ConfigError(f"{key}: is for a run; leave it out of a pilot")
    words = [*words, *([] if "num_records" in named else [f"num_records={RECORDS}"])]
    first = _composed(words)
    if not first:
        return []
    config = first[0].config
    if "output_dir" not in named:
        name = f"{config.strategy.name}-{str(config.model.name).rstrip('/').rpartition('/')[2]}"
        words = [*words, f"output_dir=pilots/{re.sub(r'[^A-Za-z0-9_.+-]+', '_', name)}"]
    _refuse(first)
    grid = _grid(first, named)
    found = _composed([*words, *(f"{key}={','.join(values)}" for key, values in grid.items() if len(values) > 1)])
    _refuse(found)
    return [_in_a_folder(one) for one in found] if len(found) == 1 else found


def _in_a_folder(trial: Trial) -> Trial:
    """Of its own, as each of several has."""
    output_dir = trial.config.settings.output_dir / "trial"
    settings = dataclasses.replace(trial.config.settings, output_dir=output_dir)
    resolved = trial.config.resolved | {"output_dir": str(output_dir)}
    return dataclasses.replace(trial, config=dataclasses.replace(trial.config, settings=settings, resolved=resolved))


def _composed(words: Sequence[str]) -> list[Trial]:
    found: list[tuple[Config, list[str]]] = []

    def collect(config: Config) -> int:
        found.append((config, list(HydraConfig.get().overrides.task)))
        return 0

    asks = any(word in ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i") for word in words)
    composed([*words, *([] if asks else ["--multirun"])], collect)
    shared = set.intersection(*(set(overrides) for _, overrides in found)) if found else set()
    return [Trial(config, dict(_pair(one) for one in overrides if one not in shared)) for config, overrides in found]


def _pair(override: str) -> tuple[str, str]:
    read = OverridesParser.create().parse_override(override)
    return read.get_key_element().lstrip("+~"), read.get_value_element_as_str()


def _refuse(found: Sequence[Trial]) -> None:
    """What no pilot can do. Raises ConfigError."""
    one = found[0].config
    for other in found[1:]:
        if differing := differing_keys(_of_engine(one), _of_engine(other.config)):
            raise ConfigError(
                f"{differing[0][0]}: a pilot loads one engine for all its trials, so this key has one value; "
                "python -m synth.run --multirun tries several"
            )
    if own := next((name for name, served in one.pools.items() if served.engine.placement(False, 0).gpus), None):
        raise ConfigError(
            f"models.{own}: a pilot loads all models in one process, where no GPUs are divided among them; leave it "
            "out, or try the settings by python -m synth.run --multirun"
        )
    checked: list[Any] = []
    for trial in found:
        if trial.config.model.is_here and trial.config.resolved["model"] not in checked:
            refuse_bad_chat_template(trial.config)
            checked.append(trial.config.resolved["model"])
        refuse_what_is_missing(trial.config)


def _of_engine(config: Config) -> dict[str, Any]:
    """All that is the same for all trials."""
    same = {key: value for key, value in config.resolved.items() if key not in _VARIED}
    return {**same, **_loaded(same), "models": {name: {**one, **_loaded(one)} for name, one in same["models"].items()}}


def _loaded(node: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": {key: node["model"].get(key) for key in LOADED}}


def _grid(found: Sequence[Trial], named: set[str]) -> dict[str, list[str]]:
    """The keys that are tried unasked, with their values: those that all trials have and nobody named."""
    grids = [own_grid(one.config) for one in found]
    keys = [key for key in grids[0] if all(key in one for one in grids)]
    grids[0] = {key: list(dict.fromkeys(value for one in grids for value in one[key])) for key in keys}
    fixed = tuple(f"{one}." for one in named - set(GROUPS))
    return {key: values for key, values in grids[0].items() if not f"{key}.".startswith(fixed)}


def own_grid(config: Config) -> dict[str, list[str]]:
    """The keys of one configuration that are tried unasked, each with its values and what is configured among them."""
    grid: dict[str, list[str]] = {}
    steps = config.strategy.steps
    if any(map(_draws_under_the_default, steps)) and has_default_system_prompt(config.model):
        grid[SYSTEM_PROMPT] = ["keep", "drop"]
    step = next((one for one in steps if one.description.calls), None)
    drawn = step.description.calls[0] if step and step.description.calls else None
    if step and drawn and drawn.temperature > 0 and (key := _key(step, drawn, config.resolved["strategy"])):
        grid[f"{key}.temperature"] = [f"{one:g}" for one in sorted({*TEMPERATURES, drawn.temperature})]
        grid[f"{key}.top_p"] = [f"{one:g}" for one in sorted({*TOP_PS, drawn.top_p})]
    return grid


def _draws_under_the_default(step: Step) -> bool:
    return MAIN in step.models_as_user and not getattr(step.function, "system_prompts", None)


def has_default_system_prompt(model: Model) -> bool:
    """Whether the chat template writes one before a user's first words. Not known of a model that is elsewhere."""
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
    """Of the first call's sampling, where a command line can set it."""
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
