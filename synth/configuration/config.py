"""The configuration as typed objects, and its validation.

Every refusal is a ConfigError: one line with the key or file and the nearest valid choice. Names, types and files are
checked before Ray, a tokenizer or an engine is loaded, so that a typo costs seconds.

Knows the keys of the top level, of a strategy and of a cluster. A component's keys are those of its `_target_`
(instantiate.py).
"""

import dataclasses
import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.instantiate import build, construct, located, refuse_unknown_keys
from synth.configuration.column_types import type_from_text
from synth.configuration.named_models import ServedModel, preset_names, served, spelled_out, with_demo_keys
from synth.configuration.strata import stratified
from synth.configuration.strategy import models_asked, strategy_of
from synth.configuration.value_files import with_files
from synth.engines import SERVED_WAYS_TO_THINK, Engine, is_pooling
from synth.engines.cards import card
from synth.engines.price import Price
from synth.errors import ConfigError, nearest, reason
from synth.models.model import Model
from synth.paths import LocalPath
from synth.publishing.destinations import HUB, checked, local_folder
from synth.records import Slice, messages_with
from synth.sources import Source, is_drawn
from synth.steps.endpoints import MAIN
from synth.steps.strategy import Step, Strategy
from synth.storage.hub import dataset_name
from synth.storage.run_folder import RunFolder
from synth.strata import Strata

if TYPE_CHECKING:
    from synth.chat import ChatTemplate, PoolingInput, ServedChat

__all__ = ["CONF_DIR", "GROUPS", "Cluster", "Config", "ConfigError", "MissingFile", "Settings", "options", "parse"]

_PACKAGE = Path(__file__).parents[1]
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
GROUPS = ("strategy", "model", "engine", "cluster", "source")


def _no_bool(kind: str) -> BeforeValidator:
    """pydantic would accept true as 1."""

    def refuse(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"must be a {kind}")
        return value

    return BeforeValidator(refuse)


def _slice(value: Any) -> Slice | None:
    return value if value is None or isinstance(value, Slice) else Slice.parse(value)


def _gpu(value: str) -> str:
    if value != "auto":
        card(value)
    return value


def _folder(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise ValueError(f"must be a local folder; set publish={value} to have its rows there as they are made")
    return value


def _list(value: Any) -> Any:
    return [] if value is None else [value] if isinstance(value, str) else value


def _switch(value: Any) -> Any:
    if value not in ("auto", "keep") and not isinstance(value, bool):
        raise ValueError("must be auto, true, false or keep")
    return value


class MissingFile(ConfigError):
    """All keys are valid, but a file that one of them names is missing."""


Integer = Annotated[int, _no_bool("whole number")]
Count = Annotated[Integer, Field(ge=1)]
Port = Annotated[Integer, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), _no_bool("number above 0")]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Cluster:
    """Where replicas run. `address` null starts Ray on this machine; `auto` replicas fill the GPUs, or one on CPU.
    `gpu` is the GPU model for dry runs.

    `metrics_port` is for a Ray that is started here: an existing one has its own. `claim_processes` is the number of
    processes for dedup keys.
    """

    address: str | None = None
    replicas: Count | Literal["auto"] = "auto"
    records_in_flight: Count | Literal["auto"] = "auto"
    start_timeout_s: Positive = 1800.0
    gpu: Annotated[str, AfterValidator(_gpu)] = "auto"
    metrics_port: Port | None = None
    claim_processes: Count | Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """The top level of `conf/config.yaml` without its groups. `output_dir` is the whole run's, also for a slice."""

    num_records: Count | Literal["all"]
    strata: dict[str, Any] | None = None
    seed: Integer
    output_dir: Annotated[LocalPath, BeforeValidator(_folder)]
    slice: Annotated[Slice | None, BeforeValidator(_slice)] = None
    shard_size: Count | Literal["auto"]
    resume: Literal["auto", "never", "force"]
    retry: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_list)] = dataclasses.field(
        default_factory=list
    )
    min_yield: Annotated[float, Field(ge=0, le=1), _no_bool("number from 0 to 1")]
    push_to_hub: Annotated[str, AfterValidator(dataset_name)] | None
    publish: Annotated[str, AfterValidator(checked)] | None = None
    checkpoint_calls: Annotated[bool | Literal["auto", "keep"], BeforeValidator(_switch)] = "auto"
    reuse: LocalPath | None = None
    continue_answers: Annotated[bool, Field(strict=True)] = False
    step_timeout_s: Positive | None = 3600.0
    price_per_gpu_hour: Positive | None = None
    tracking: Literal["wandb", "mlflow"] | None = None
    dry_run: bool
    estimate_from: LocalPath | None = None

    @property
    def most_records(self) -> int | None:
        """The number of records to keep; None if all records of the source are wanted."""
        return None if self.num_records == "all" else self.num_records

    @property
    def run_dir(self) -> Path:
        """The folder of this job: for a slice, below the whole run's folder."""
        return self.output_dir if self.slice is None else RunFolder(self.output_dir).slice(self.slice).path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A run's validated configuration. `resolved` is the plain data that it was instantiated from."""

    settings: Settings
    strategy: Strategy
    model: Model
    engine: Any
    models: dict[str, ServedModel]
    cluster: Cluster
    source: Source | None
    resolved: dict[str, Any]
    strata: Strata | None = None

    @property
    def all_models(self) -> dict[str, Model]:
        """All models of the run by name, main first."""
        return {MAIN: self.model, **{name: one.model for name, one in self.models.items()}}

    @property
    def license(self) -> str | None:
        """The license of all models, `other` if they have several: each one's terms apply to its part."""
        licenses = {model.license for model in self.all_models.values()}
        return licenses.pop() if len(licenses) == 1 else "other"

    @property
    def generating(self) -> dict[str, Model]:
        """The models that generate, main first. The others score or embed."""
        return {name: one for name, one in self.all_models.items() if name == MAIN or not self.models[name].is_pooling}

    def in_folder(self, output_dir: Path) -> "Config":
        """The same run, with another `output_dir`."""
        settings = dataclasses.replace(self.settings, output_dir=output_dir)
        return dataclasses.replace(self, settings=settings, resolved=self.resolved | {"output_dir": str(output_dir)})

    def load_chat_templates(self) -> "dict[str, ChatTemplate | ServedChat]":
        """The chat templates of all generating models; equal models share one. Raises like Model.load_chat_template."""
        from synth.chat import ServedChat

        loaded: dict[str, ChatTemplate | ServedChat] = {}
        templated = self.templated
        for name, model in self.generating.items():
            same = next((other for other in loaded if templated.get(other) == model), None)
            if name not in templated:
                loaded[name] = ServedChat(model.reasoning_tags)
            else:
                loaded[name] = loaded[same] if same else model.load_chat_template()
        return loaded

    def load_pooling_inputs(self) -> "dict[str, PoolingInput]":
        """The prompt encoders of the other models. Raises like Model.load_pooling_input."""
        return {name: one.model.load_pooling_input() for name, one in self.models.items() if one.is_pooling}

    @property
    def engines(self) -> dict[str, Any]:
        """The engine that answers for each model, by model name."""
        return {MAIN: self.engine, **{name: one.engine for name, one in self.models.items()}}

    @property
    def prices(self) -> dict[str, Price]:
        """The token prices of models whose servers have one."""
        prices = {name: getattr(one, "price_per_million_tokens", None) for name, one in self.own_engines.items()}
        return {name: price for name, price in prices.items() if price is not None}

    @property
    def templated(self) -> dict[str, Model]:
        """The models whose chat template is applied here. The others' servers apply it, and have all files of the
        model."""
        reads_messages = {name for name, one in self.engines.items() if getattr(one, "reads", None) == "messages"}
        return {name: model for name, model in self.all_models.items() if name not in reads_messages}

    @property
    def are_here(self) -> bool:
        """Whether all model files that are needed here are on this machine."""
        return all(model.is_here for model in self.templated.values())

    @property
    def pools(self) -> dict[str, ServedModel]:
        """The models with engines of their own beside main's."""
        return {name: one for name, one in self.models.items() if one.engine_of == name}

    @property
    def autoscaled(self) -> list[str]:
        """The models whose number of engines is auto."""
        counts = {MAIN: self.cluster.replicas, **{name: one.replicas for name, one in self.pools.items()}}
        return [name for name, count in counts.items() if count == "auto"]

    @property
    def at_once(self) -> dict[str, int]:
        """The number of concurrent requests of an engine, by model."""
        return {name: engine.concurrency for name, engine in self.own_engines.items()}

    @property
    def own_engines(self) -> dict[str, Any]:
        """Main's engine, and those of models with engines of their own."""
        return {MAIN: self.engine, **{name: one.engine for name, one in self.pools.items()}}

    def identity(self) -> dict[str, Any]:
        """The keys that decide the data, except for the content of the source: the same identity and rows give the same
        records."""
        data = {key: self.resolved[key] for key in ("strategy", "seed")}
        data |= _deciding(self.resolved, self.model, self.engine)
        nodes = self.resolved["models"]
        data["models"] = {name: _deciding(nodes[name], one.model, one.engine) for name, one in self.models.items()}
        if self.strata is not None:
            data["strata"] = {column: dict(rows) for column, rows in self.strata.rows.items()}
        return data if data["models"] else {key: value for key, value in data.items() if key != "models"}

    @property
    def drawing(self) -> dict[str, Any]:
        """The keys of a drawn source, which decide its records beside the rows that it reads."""
        source = self.resolved["source"] if is_drawn(self.source) else {}
        return {key: value for key, value in source.items() if key not in ("_target_", "bad_rows")}


def _deciding(node: Mapping[str, Any], model: Model, engine: Any) -> dict[str, Any]:
    """The keys of a model and its engine that decide the data."""
    kept: dict[str, Any] = {}
    for key, component in (("model", model), ("engine", engine)):
        runtime_only: frozenset[str] = getattr(component, "RUNTIME_ONLY", frozenset())
        kept[key] = _without(node[key], runtime_only)
    return kept


def _without(node: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """A dotted name is a key within a key."""
    kept: dict[str, Any] = {}
    for name, value in node.items():
        inside = frozenset(one.removeprefix(f"{name}.") for one in names if one.startswith(f"{name}."))
        if name not in names:
            kept[name] = _without(value, inside) if inside and isinstance(value, Mapping) else value
    return kept


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
    resolved["models"] = spelled_out(given, of_strategy, resolved, _folders(), _chosen("engine"))
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
    if config.settings.estimate_from is not None and not config.settings.dry_run:
        raise ConfigError("estimate_from: is for dry_run=true only; add that, or leave estimate_from out to run")
    if is_drawn(config.source) and config.settings.num_records == "all":
        raise ConfigError(f"num_records: {config.source} has no end; set the number of records to keep")
    if config.settings.continue_answers and config.settings.checkpoint_calls is False:
        raise ConfigError(
            "continue_answers: partial answers are stored with finished calls, which checkpoint_calls=false drops; "
            "leave checkpoint_calls=false out"
        )
    if config.settings.reuse is not None and config.settings.checkpoint_calls is False:
        raise ConfigError(
            "reuse: needs stored calls, which checkpoint_calls=false drops; leave checkpoint_calls=false out"
        )
    if config.source is None and config.settings.num_records == "all":
        raise ConfigError(
            "num_records: all needs a source with an end; choose source=file, source=hub or source=documents"
        )
    if config.cluster.address is not None and config.cluster.metrics_port is not None:
        raise ConfigError("cluster.metrics_port: the cluster at cluster.address has its own; leave it null")
    if config.settings.slice is not None or config.settings.retry:
        _refuse_what_takes_all_records(config)
    _refuse_publishing_over(config.settings)
    _refuse_what_no_chat_api_does(config)
    for name, one in config.templated.items():
        if problem := one.missing():
            raise MissingFile(f"{key_of(name)}.{problem}")
    return config


def _refuse_what_no_chat_api_does(config: Config) -> None:
    """Refuses what chat APIs can't do, as they take messages instead of tokens."""
    for name in config.all_models.keys() - config.templated.keys():
        model, kind = config.all_models[name], type(config.engines[name]).__name__
        for key in ("tokenizer", "revision", "chat_template", "pre_query", "later_pre_query", "query_stop"):
            if getattr(model, key) is not None:
                why = f"the server of the engine {kind} has the tokenizer and the chat template; leave it out"
                raise ConfigError(f"{key_of(name)}.{key}: {why}")
        for step in config.strategy.steps:
            if name in step.models_as_user:
                why = f"needs a user's turn from the model {name}, which a chat API cannot write"
                asked = f"set strategy.{step.name}.user_by=chat, or " if hasattr(step.function, "user_by") else ""
                advice = f"{asked}use engine=openai for a server that takes token ids"
                raise ConfigError(f"strategy.{step.name}: {why}; {advice}")
            for call in step.calls_of(name):
                for way in call.ways_to_think:
                    if way not in SERVED_WAYS_TO_THINK:
                        why = f"thinking: chat APIs have no mode {way!r}{nearest(way, SERVED_WAYS_TO_THINK)}"
                        raise ConfigError(f"strategy.{step.name}: {why}")
                if call.thinking_tokens is not None:
                    why = f"the chat API of the model {name} cannot close its reasoning"
                    advice = "use engine=openai for a server that takes token ids"
                    raise ConfigError(f"strategy.{step.name}: thinking_tokens: {why}; {advice}")


_ANY_SYSTEM_PROMPT = [{"role": "system", "content": "Be kind."}]


def key_of(model: str) -> str:
    """The key below which a model has its keys."""
    return "model" if model == MAIN else f"models.{model}"


def refuse_bad_chat_template(config: Config) -> None:
    """Loads tokenizers, which takes seconds, to find errors before engines take minutes. Raises ConfigError."""
    from huggingface_hub.utils import logging

    from synth.chat import ChatTemplateError

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # else it logs each try to reach the Hub
    as_user: dict[str, list[Step]] = {}
    for step in config.strategy.steps:
        for name in step.models_as_user:
            as_user.setdefault(name, []).append(step)
    seen: list[Model] = []
    for name, model in config.templated.items():
        key = key_of(name)
        if name not in config.generating:
            _refuse_unfit_pooling(config, name)
            continue
        thinking = [(step, way) for step in config.strategy.steps for way in _ways_to_think(step, name)]
        if model in seen and name not in as_user and not thinking:
            continue
        seen.append(model)
        try:
            template = model.load_chat_template()
            for step in as_user.get(name, []):
                _refuse_none_where_one_is_demanded(step, name, template)
                template.pre_query(_ANY_SYSTEM_PROMPT if template.needs_system else [])
            for step, way in thinking:
                try:
                    template.check_thinking(way)
                except ChatTemplateError as error:
                    raise ConfigError(f"strategy.{step.name}: of the model {name}, {error}") from None
        except ConfigError:
            raise
        except ChatTemplateError as error:
            raise ConfigError(f"{key}: {error}") from None
        except (OSError, ValueError) as error:
            message = f"the tokenizer of {model.path!r} can't be loaded: {reason(error)}"
            raise ConfigError(f"{key}.path: {message}") from None


def _refuse_none_where_one_is_demanded(step: Step, name: str, template: "ChatTemplate") -> None:
    if template.needs_system and not (step.description.under_system_prompt or step.system_prompt):
        why = f"has no system prompt, and the chat template of the model {name} requires one"
        raise ConfigError(f"strategy.{step.name}: {why}; with Magpie set system_prompts and keep_system_prompt=true")


def _ways_to_think(step: Step, model: str) -> list[str]:
    """The modes of thinking that a step uses. Raises ConfigError if it sets one for a user's turn."""
    for call in step.description.as_user:
        for key in ("thinking", "thinking_tokens"):
            if getattr(call, key) is not None:
                why = "a user's turn has no reasoning; set it for the sampling of an answer"
                raise ConfigError(f"strategy.{step.name}: {key}: {why}")
    return list(dict.fromkeys(way for call in step.calls_of(model) for way in call.ways_to_think))


def _refuse_unfit_pooling(config: Config, name: str) -> None:
    """Scoring conversations needs a chat template, and a scoring model."""
    from synth.chat import ChatTemplateError

    model, engine = config.models[name].model, config.models[name].engine
    asking = {step.name: step.pooling[name] for step in config.strategy.steps if name in step.pooling}
    try:
        task = getattr(engine, "task", None)  # a user's engine may set it at its start
        prompts = model.load_pooling_input()
        if "score" in asking.values() and task != "embed":
            _ = prompts.template
    except ChatTemplateError as error:
        raise ConfigError(f"{key_of(name)}: {error}") from None
    except (OSError, ValueError) as error:
        message = f"the tokenizer of {model.path!r} can't be loaded: {reason(error)}"
        raise ConfigError(f"{key_of(name)}.path: {message}") from None
    for step, asked in asking.items():
        if task not in (None, asked):
            raise ConfigError(f"strategy.{step}: needs {name!r} to {asked}, but that model can only {task}")


def _refuse_what_takes_all_records(config: Config) -> None:
    """Refuses slices and retries of strategies whose records depend on each other."""
    shared = {"a pool": config.strategy.pool, "dedup keys": config.strategy.duplicates or None}
    is_slice = config.settings.slice is not None
    key, alone = ("slice", "a slice cannot run alone") if is_slice else ("retry", "some cannot be run again alone")
    for name in (name for name, one in shared.items() if one is not None):
        why = f"records of {config.strategy.name} share {name}, so {alone}"
        raise ConfigError(f"{key}: {why}; leave {key} out")
    for key in ("push_to_hub", "publish"):
        if is_slice and getattr(config.settings, key) is not None:
            raise ConfigError(f"{key}: a slice has no dataset; merge the slices, then use python -m synth.export")


def _refuse_publishing_over(settings: Settings) -> None:
    """Refuses a destination in the run's own folder, or that push_to_hub writes over."""
    if settings.publish is None:
        return
    if settings.publish == f"{HUB}{settings.push_to_hub}":
        raise ConfigError("publish: push_to_hub would write over it; leave push_to_hub out, or name another dataset")
    folder, run_dir = local_folder(settings.publish), Path(os.path.abspath(settings.output_dir))
    if folder is not None and (folder == run_dir or run_dir in folder.parents):
        raise ConfigError(f"publish: {settings.publish} is in output_dir={settings.output_dir}; choose another folder")


def options(group: str) -> list[str]:
    """The options of `group=NAME`: the shipped ones and, while Hydra runs, the user's own."""
    return preset_names(group, _folders())


def _folders() -> list[Path]:
    """The folders of config groups; the user's own precede Synth's."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    return [*(Path(source.path) for source in sources if source.schema == "file"), CONF_DIR]


def _resolve(composed: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with all interpolations resolved. A strategy without a name gets the name of its option."""
    if not isinstance(composed, DictConfig):
        return dict(composed)
    try:
        strategy = composed.strategy
        if isinstance(strategy, DictConfig) and strategy.get("name") is None:
            chosen = (_chosen("strategy") or "strategy").rpartition("/")[2]
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
        return [_given(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _given(one) for name, one in value.items() if one != "???"}


def _chosen(group: str) -> str | None:
    """The chosen option of a group, from the command line or a defaults list."""
    return HydraConfig.get().runtime.choices.get(group) if HydraConfig.initialized() else None


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
    if node.get("steps") is None and HydraConfig.initialized() and _chosen("strategy") is None:
        raise ConfigError(f"strategy.{next(iter(node))}: no strategy is chosen; add one by +strategy=NAME")
    return strategy_of(node)
