"""The models of a run beside `main`, and their engines.

`models.NAME` is the name of a preset (a file of conf/model), a name on the Hub, `main` for the same as main, or keys:
`preset`, those of a model (`path`, `default_system_prompt`, ...), `engine` and `replicas`. A strategy's YAML may have
them under the same key.

By default the engine is of main's kind, with the values of its file in conf/engine. A model that equals an earlier one,
with the same engine, is loaded once; their chat templates may differ.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synth.components.instantiate import build, construct, located, refuse_unknown_keys
from synth.configuration.engine_files import names_file
from synth.demo_model import KEYS as DEMO
from synth.engines import Engine, PoolingEngine, engine_protocol, is_pooling
from synth.errors import ConfigError, nearest, reason
from synth.models.model import Model
from synth.steps.endpoints import MAIN

_OF_SERVED = ("preset", "engine", "replicas")
_OF_MODEL = [field.name for field in dataclasses.fields(Model)]
# Keys of a model that its engine loads. The others are about conversations.
LOADED = ("path", "tokenizer", "revision", "dtype", "max_model_len")

Replicas = int | Literal["auto"]
Keys = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A model by its name for steps, and the number of its engines. `engine_of` is the first model with the same
    engine: its own name, or that of another model whose engines answer for it."""

    name: str
    model: Model
    engine: Engine | PoolingEngine
    replicas: Replicas
    engine_of: str

    @property
    def least(self) -> int:
        """The least number of its engines."""
        return 1 if self.replicas == "auto" else self.replicas

    @property
    def is_pooling(self) -> bool:
        """Whether it scores or embeds instead of generating."""
        return is_pooling(self.engine)


def spelled_out(
    given: Any, of_strategy: Any, main: Keys, folders: Sequence[Path], engine_option: str | None = None
) -> dict[str, Any]:
    """The configured models as `{name: {model: keys, engine: keys, replicas: number}}`. Raises ConfigError.

    `given` are the keys of `models`, which override those `of_strategy`; `main` has the keys of `model` and `engine`,
    an instance of `engine_option`; presets are searched in `folders`.
    """
    nodes: dict[str, dict[str, Any]] = {}
    for key, group in (("strategy.models", of_strategy), ("models", given)):
        if group is not None and not isinstance(group, Mapping):
            raise ConfigError(f"{key}: must be a mapping of names to models, got {group!r}")
        for name, node in (group or {}).items():
            if node is None:  # removes the strategy's model
                nodes.pop(str(name), None)
            else:
                nodes[str(name)] = _laid_over(nodes.get(str(name), {}), _as_keys(node, f"{key}.{name}"))
    before: list[Keys] = [main]
    found: dict[str, Any] = {}
    for name, node in nodes.items():
        found[name] = _spelled_out(name, node, before, folders, engine_option)
        before.append(found[name])
    return found


def served(nodes: Keys, main: Keys) -> dict[str, ServedModel]:
    """Validates and instantiates the models. Raises ConfigError."""
    made: dict[str, ServedModel] = {}
    loaded = {MAIN: _loaded(main)}
    for name, node in nodes.items():
        key = f"models.{name}"
        replicas = _replicas(node["replicas"], f"{key}.replicas")
        engine_of = next((other for other, one in loaded.items() if one == _loaded(node)), name)
        loaded.setdefault(engine_of, _loaded(node))
        model = construct(Model, node["model"], key)
        engine = made[engine_of].engine if engine_of in made else engine_from(node, name, model)
        made[name] = ServedModel(name, model, engine, replicas, engine_of)
        if engine_of != name and replicas != "auto":
            of = "cluster.replicas" if engine_of == MAIN else f"models.{engine_of}.replicas"
            raise ConfigError(f"{key}.replicas: it shares the engines of the equal model {engine_of}; set {of}")
    return made


def engine_from(node: Keys, name: str, model: Model | None = None) -> Engine | PoolingEngine:
    """The engine of the model `name`, from its full keys. Raises ConfigError."""
    key = f"models.{name}"
    model = model or construct(Model, node["model"], key)
    protocol = engine_protocol(located(node["engine"], f"{key}.engine"))
    engine: Engine | PoolingEngine = build(node["engine"], f"{key}.engine", protocol, model=model)
    return engine


def with_demo_keys(model: Keys) -> dict[str, Any]:
    """With the keys that come with the shipped demonstration model."""
    brought = DEMO if model.get("path") == "demo" else {}
    return {**model, **{key: value for key, value in brought.items() if model.get(key) in (None, "auto")}}


def _spelled_out(
    name: str, node: dict[str, Any], before: Sequence[Keys], folders: Sequence[Path], engine_option: str | None
) -> dict[str, Any]:
    key = f"models.{name}"
    if name == MAIN:
        raise ConfigError(f"{key}: set the keys model, engine and cluster.replicas instead")
    if not name.isidentifier():
        raise ConfigError(f"{key}: the name of a model must be a word, such as judge")
    if node.keys() == {"model", "engine", "replicas"} and "_target_" in node["engine"]:  # it has been expanded before
        return node
    refuse_unknown_keys(node, [*_OF_SERVED, *_OF_MODEL], key)
    if node.get("preset") == MAIN:
        model = {} if "path" in node else dict(before[0]["model"])
    else:
        model = _preset("model", node.get("preset"), key, folders)
    model = with_demo_keys(_merged(model, {one: value for one, value in node.items() if one not in _OF_SERVED}))
    if not model.get("path"):
        choices = ", ".join(preset_names("model", folders))
        raise ConfigError(f"{key}: has no model; set {key}=PRESET to one of {choices}, or {key}.path=FOLDER")
    given = dict(node.get("engine") or {})
    same = next((one for one in before if _of_model(one["model"]) == _of_model(model)), None)
    kind = given.get("_target_") or (same or before[0])["engine"]["_target_"]
    if "preset" in given:
        engine = _preset("engine", given.pop("preset"), f"{key}.engine", folders)
    elif same and same["engine"]["_target_"] == kind:
        engine = same["engine"]
    else:
        files = _presets("engine", engine_option, folders)
        engine = next((file for file in files if file.get("_target_") == kind), {"_target_": kind})
    replicas = "auto" if node.get("replicas") is None else node["replicas"]
    return {"model": model, "engine": _merged(engine, given), "replicas": replicas}


def _as_keys(node: Any, key: str) -> dict[str, Any]:
    """A name stands for the preset of that name, of a model or an engine."""
    if isinstance(node, str):
        return {"preset": node}
    if not isinstance(node, Mapping):
        raise ConfigError(f"{key}: must be a preset's name or a mapping of keys, got {node!r}")
    keys = {str(name): value for name, value in node.items()}
    if keys.get("engine") is not None:
        keys["engine"] = _as_keys(keys["engine"], f"{key}.engine")
    return keys


def _laid_over(under: Keys, over: Keys) -> dict[str, Any]:
    """Overrides keys. A preset of a model, or of an engine, replaces all its keys."""
    if "preset" in over:
        under = {name: under[name] for name in ("engine", "replicas") if name in under}
    if "preset" in (over.get("engine") or {}):
        under = {name: value for name, value in under.items() if name != "engine"}
    return _merged(under, over)


def _merged(under: Keys, over: Keys) -> dict[str, Any]:
    """`over` wins, key by key."""
    merged = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _preset(group: str, name: Any, key: str, folders: Sequence[Path]) -> dict[str, Any]:
    if name is None:
        return {}
    text = str(name)
    path = next((path for folder in folders if (path := folder / group / f"{text}.yaml").is_file()), None)
    if path is None and group == "engine" and names_file(text):
        path = Path(text)
    if path is not None:
        return _read(path, folders)
    if group == "model" and "/" in text:  # a folder, or a name on the Hub
        return {"path": text}
    raise ConfigError(f"{key}: there is no {text!r}{nearest(text, preset_names(group, folders))}")


def _read(path: Path, folders: Sequence[Path]) -> dict[str, Any]:
    """A file of a group, merged with the files of its defaults list."""
    try:
        found = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: {reason(error)}") from None
    keys = {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}
    under: dict[str, Any] = {}
    for one in keys.pop("defaults", None) or []:
        if one != "_self_":
            under = _merged(under, _preset(path.parent.name, one, str(path), folders))
    return _merged(under, keys)


def preset_names(group: str, folders: Sequence[Path]) -> list[str]:
    """The names of a group's files in these folders."""
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _presets(group: str, chosen: str | None, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The chosen one first, then Synth's."""
    names = [*([chosen] if chosen else []), *preset_names(group, folders[-1:])]
    return (_preset(group, name, group, folders) for name in names)


def _of_model(model: Keys) -> list[Any]:
    return [None if (name, model.get(name)) == ("dtype", "auto") else model.get(name) for name in LOADED]


def _loaded(node: Keys) -> tuple[list[Any], Keys]:
    return _of_model(node["model"]), node["engine"]


def _replicas(value: Any, key: str) -> Replicas:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key}: must be a whole number from 1 on, or auto; got {value!r}")
    return value
