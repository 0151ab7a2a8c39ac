"""A run's validated configuration, as typed objects, and what follows from it: which models generate, which engines
answer for them, which keys decide the data.

parsing.py makes it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.configuration.named_models import ServedModel
from synth.configuration.settings import Cluster, Settings
from synth.engines.price import Price
from synth.models.model import Model
from synth.sources import Source, is_drawn
from synth.steps.endpoints import MAIN
from synth.steps.strategy import Strategy
from synth.strata import Strata

if TYPE_CHECKING:
    from synth.chat import ChatTemplate, PoolingInput, ServedChat


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


def key_of(model: str) -> str:
    """The key below which a model has its keys."""
    return "model" if model == MAIN else f"models.{model}"
