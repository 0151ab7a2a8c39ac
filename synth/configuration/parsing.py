"""Makes a run's configuration, as typed objects, from what Hydra composes.

Promises: every refusal is a ConfigError: one line with the key or file and the nearest valid choice. Names, types and
files are checked before Ray, a tokenizer or an engine is loaded, so that a typo costs seconds.

A component's keys are those of its `_target_` (components/instantiate.py).
"""

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synth.components.instantiate import build, construct, located, refuse_unknown_keys
from synth.configuration.column_types import type_from_text
from synth.configuration.combinations import refuse_bad_combinations
from synth.configuration.config import Config, key_of
from synth.configuration.config_groups import GROUPS, chosen_option, folders, options
from synth.configuration.named_models import served, spelled_out, with_demo_keys
from synth.configuration.settings import Cluster, Settings
from synth.configuration.strata import stratified
from synth.configuration.strategy import models_asked, strategy_of
from synth.configuration.value_files import with_files
from synth.engines import Engine, is_pooling
from synth.errors import ConfigError, nearest, reason
from synth.models.model import Model
from synth.records import messages_with
from synth.sources import Source, is_drawn
from synth.steps.strategy import Strategy
from synth.strata import Strata


def parse(composed: DictConfig | Mapping[str, Any]) -> Config:
    """Typed objects from Hydra's configuration, or from another Config's `resolved`. Raises ConfigError."""
    if "strategy" not in composed:
        raise ConfigError(f"strategy: none is chosen; add one of {', '.join(options('strategy'))} by +strategy=NAME")
    resolved = _resolve(composed)
    for group in GROUPS:
        if group not in resolved:
            raise ConfigError(f"{group}: none is chosen; choose from {', '.join(options(group))}")
    settings = {key: value for key, value in resolved.items() if key not in (*GROUPS, "models")}
    refuse_unknown_keys(settings, [*inspect.signature(Settings).parameters, *GROUPS, "models"])
    resolved["model"] = with_demo_keys(resolved["model"])
    model = construct(Model, resolved["model"], "model")
    engine = build(_of_main(resolved["engine"]), "engine", Engine, model=model)
    given, of_strategy = resolved.get("models"), None
    if isinstance(resolved["strategy"], Mapping):
        of_strategy = resolved["strategy"].get("models")
        resolved["strategy"] = {name: one for name, one in resolved["strategy"].items() if name != "models"}
    resolved["models"] = spelled_out(given, of_strategy, resolved, folders(), chosen_option("engine"))
    models = served(resolved["models"], resolved)
    strategy = _strategy(resolved["strategy"])
    pooling = [name for name, one in models.items() if one.is_pooling]
    asked, idle = models_asked(strategy, resolved["strategy"], models, pooling)
    for name in idle:
        if name in (given or {}):
            raise ConfigError(f"models.{name}: no step uses it; set strategy.STEP.model={name}, or remove it")
    if idle:  # of the strategy's YAML, for steps that are left out
        resolved["models"] = {name: one for name, one in resolved["models"].items() if name not in idle}
        models = served(resolved["models"], resolved)
    columns = dict(model.columns)
    for name in asked:
        columns |= models[name].model.columns
    in_messages = {one.thoughts_in_messages for one in (model, *(models[name].model for name in asked))} - {None}
    if in_messages:
        columns["messages"] = messages_with(map(str, in_messages))
    source = _source(resolved["source"], model)
    strategy = dataclasses.replace(strategy, of_model=columns, of_source=_drawn_columns(source, strategy))
    checked: Settings = construct(Settings, settings, "")
    strata = None
    if checked.strata is not None:
        strata = Strata.parse(checked.strata, checked.num_records)
        strategy = stratified(strategy, strata, source)
    config = Config(
        settings=checked,
        strata=strata,
        strategy=strategy,
        model=model,
        engine=engine,
        models=models,
        cluster=construct(Cluster, resolved["cluster"], "cluster"),
        source=source,
        resolved=resolved,
    )
    if missing := isinstance(composed, DictConfig) and OmegaConf.missing_keys(composed):
        raise ConfigError(f"{min(missing)}: is missing")
    refuse_bad_combinations(config)
    for name, one in config.templated.items():
        if problem := one.missing():
            raise ConfigError(f"{key_of(name)}.{problem}")
    return config


def _resolve(composed: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with all interpolations resolved. A strategy without a name gets the name of its option."""
    if not isinstance(composed, DictConfig):
        return dict(composed)
    try:
        strategy = composed.strategy
        if isinstance(strategy, DictConfig) and strategy.get("name") is None:
            chosen = (chosen_option("strategy") or "strategy").rpartition("/")[2]
            OmegaConf.update(composed, "strategy.name", chosen, force_add=True)
        plain = _given(OmegaConf.to_container(composed, resolve=True))
        if isinstance(strategy, DictConfig):
            _name_steps(plain["strategy"], OmegaConf.to_container(strategy, resolve=False))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {reason(error)}") from None
    return {str(key): with_files(value, "strategy") if key == "strategy" else value for key, value in plain.items()}


def _name_steps(strategy: dict[str, Any], raw: Any) -> None:
    """A step that is referred to, as `${strategy.judge}`, keeps its name, which is lost when it is resolved."""
    steps = raw.get("steps")
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        referred = re.fullmatch(r"\$\{(?:strategy)?\.(\w+)\}", step) if isinstance(step, str) else None
        if referred:
            strategy["steps"][index] = referred[1]


def _given(value: Any) -> Any:
    """Without keys that are still `???`: a wrong key is reported before a missing one."""
    if isinstance(value, list):
        return [_given(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _given(one) for name, one in value.items() if one != "???"}


def _of_main(node: Any) -> Any:
    """Refuses an engine that can't generate."""
    if isinstance(node, Mapping) and is_pooling(located(node, "engine")):
        message = f"{node['_target_']!r} cannot generate text, which main has to; use it as models.NAME.engine"
        raise ConfigError(f"engine._target_: {message}")
    return node


def _source(node: Any, model: Model) -> Any:
    """A source, or None for source=none, which has no keys."""
    if not node:
        return None
    if isinstance(node, Mapping) and "_target_" not in node:
        chosen = f"choose from {', '.join(options('source'))} by source=NAME"
        raise ConfigError(f"source.{next(iter(node))}: no source is chosen; {chosen}")
    source = build(node, "source", Source, model=model)
    if is_drawn(source):
        for name in ("columns", "limit", "repeat"):
            if name in node:
                raise ConfigError(f"source.{name}: is for rows that are read; a grid draws records without end")
    return source


def _drawn_columns(source: Any, strategy: Strategy) -> dict[str, pa.DataType]:
    """Columns that a source draws and that are kept beside the rows. Refuses one that a step adds as well."""
    if not is_drawn(source):
        return {}
    columns = {name: type_from_text(kind) for name, kind in source.labels.items()}
    for step in strategy.steps:
        for name in step.columns or ():
            if name in columns:
                why = f"the step {step.name} adds a column of this name; rename the drawn one"
                raise ConfigError(f"source.draw.{name}: {why}")
    return columns


def _strategy(node: Any) -> Strategy:
    if not isinstance(node, Mapping):
        raise ConfigError(f"strategy: {node!r} is no strategy{nearest(str(node), options('strategy'))}")
    if node.get("steps") is None and HydraConfig.initialized() and chosen_option("strategy") is None:
        raise ConfigError(f"strategy.{next(iter(node))}: no strategy is chosen; add one by +strategy=NAME")
    return strategy_of(node)
