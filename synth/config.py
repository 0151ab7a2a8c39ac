"""The configuration as typed objects, and the one place that says no.

Every refusal is a ConfigError: one line that names the key (or file) and the nearest valid choice. It is raised
from names, types and files alone, before Ray, a tokenizer or an engine is loaded, so that a typo costs seconds.

A component (an engine, a step, a source) is the class or function that a `_target_` names; its own signature says
which keys it takes. Nothing about components is written here.
"""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.model import Model
from synth.steps.chain import Step, Strategy
from synth.column_types import type_from_text

Count = Annotated[int, Field(ge=1)]
_PACKAGE = Path(__file__).parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"


class ConfigError(ValueError):
    """Bad configuration or input: one line that names the key or file. Nothing has been started."""


GROUPS = ("strategy", "model", "engine", "cluster", "source")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Cluster:
    """Where replicas run. `address` null starts Ray on this machine; `auto` replicas fill the GPUs, or one on CPU."""

    address: str | None = None
    replicas: Count | Literal["auto"] = "auto"
    records_in_flight: Count | Literal["auto"] = "auto"
    start_timeout_s: Annotated[float, Field(gt=0)] = 1800.0


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Settings:
    """The top level of `conf/config.yaml` without its groups."""

    num_records: Count
    seed: int
    output_dir: Path
    shard_size: Count
    resume: Literal["auto", "never", "force"]
    min_yield: Annotated[float, Field(gt=0, le=1)]
    push_to_hub: str | None
    dry_run: bool


@dataclass(frozen=True, kw_only=True, config=ConfigDict(arbitrary_types_allowed=True))
class Config:
    """A run's whole configuration, checked. `resolved` is the plain data that it was built from."""

    settings: Settings
    strategy: Strategy
    model: Model
    engine: Any
    cluster: Cluster
    resolved: dict[str, Any]

    def identity(self) -> dict[str, Any]:
        """What decides the data: two runs with the same identity make the same records."""
        data = {key: self.resolved[key] for key in ("strategy", "model", "source", "seed")}
        harmless = getattr(self.engine, "HARMLESS", frozenset())
        engine = {key: value for key, value in self.resolved["engine"].items() if key not in harmless}
        return data | {"engine": engine}



def parse(composed: DictConfig | Mapping[str, Any]) -> Config:
    """Typed objects from what Hydra composed. Raises ConfigError."""
    resolved = _resolve(composed)
    settings = {key: value for key, value in resolved.items() if key not in GROUPS}
    _refuse_unknown_keys(settings, [*inspect.signature(Settings).parameters, *GROUPS], "")
    if "strategy" not in resolved:
        raise ConfigError(f"strategy: none is chosen; add one of {', '.join(options('strategy'))} by +strategy=NAME")
    if settings.get("push_to_hub"):
        raise ConfigError("push_to_hub: not in this version; load RUN_DIR/dataset and push that")
    model = _construct(Model, resolved["model"], "model")
    if missing := model.missing_file():
        raise ConfigError(f"model.{missing[0]}: there is no {missing[1]!r}")
    return Config(
        settings=_construct(Settings, settings, ""),
        strategy=_strategy(resolved["strategy"]),
        model=model,
        engine=build(resolved["engine"], "engine", model=model),
        cluster=_construct(Cluster, resolved["cluster"], "cluster"),
        resolved=resolved,
    )


def options(group: str) -> list[str]:
    """The names that `group=NAME` can choose."""
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the most similar choice, else the choices themselves."""
    choices = sorted(set(choices))
    # The last part of a dotted key weighs more than a shared prefix does.
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.75)
    if not close:
        last = {choice: choice.rpartition(".")[2] for choice in choices}
        best = difflib.get_close_matches(word.rpartition(".")[2], last.values(), n=1, cutoff=0.5)
        close = [choice for choice in choices if best and last[choice] == best[0]][:1]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(choices)}" if choices and len(choices) <= 30 else ""


def build(node: Any, key: str, **given: Any) -> Any:
    """The component that `node` describes: a class is called with the other keys, a function is bound to them.

    Raises ConfigError for a target that can't be imported, a key that it does not take, a value of a wrong type.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ConfigError(f"{key}: needs a _target_, the dotted name of a class or function")
    target = _locate(node["_target_"], f"{key}._target_")
    values = {name: value for name, value in node.items() if name != "_target_"}
    if inspect.isclass(target):
        return _construct(target, values, key, **given)
    _refuse_unknown_keys(values, _keywords(target), key)
    return functools.partial(target, **values) if values else target


def _strategy(node: Any) -> Strategy:
    if not isinstance(node, Mapping):
        raise ConfigError(f"strategy: {node!r} is not a strategy{nearest(str(node), options('strategy'))}")
    steps = node.get("steps")
    if not isinstance(steps, list) or not steps:
        raise ConfigError("strategy.steps: needs a list with at least one step")
    named = {name: value for name, value in node.items() if name not in ("name", "steps", "columns")}
    for name, value in named.items():
        if not isinstance(value, Mapping) or "_target_" not in value:
            allowed = ["name", "steps", "columns", *named]
            raise ConfigError(f"strategy.{name}: is neither a key of a strategy nor a step with a _target_"
                              + nearest(name, [choice for choice in allowed if choice != name]))
    built: list[Step] = []
    for index, step in enumerate(steps):
        key = next((f"strategy.{name}" for name, value in named.items() if value == step), f"strategy.steps[{index}]")
        function = build(step, key)
        name = step["_target_"].rpartition(".")[2].lower()
        count = sum(one.name.split("#")[0] == name for one in built)
        added = getattr(getattr(function, "func", function), "columns", {})
        built.append(Step(f"{name}#{count + 1}" if count else name, function, _columns(added, key)))
    extra = _columns(node.get("columns") or {}, "strategy.columns")
    return Strategy(str(node.get("name", "strategy")), built, extra)


def _columns(added: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        return {name: type_from_text(text) for name, text in added.items()}
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def _construct(target: Callable[..., Any], values: Any, key: str, **given: Any) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}: must be a mapping of keys, got {values!r}")
    names = [name for name in _keywords(target) if name not in given]
    _refuse_unknown_keys(values, names, key)
    taken = {name: value for name, value in given.items() if name in _keywords(target)}
    try:
        return target(**values, **taken)
    except pydantic.ValidationError as error:
        raise ConfigError(_one_line(error, key, names)) from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}: {error}") from None


def _one_line(error: pydantic.ValidationError, key: str, names: Iterable[str]) -> str:
    problem = error.errors(include_url=False)[0]
    # Which branch of a union was tried is pydantic's business, not the user's.
    path = [part for part in problem["loc"] if isinstance(part, int) or part.replace("_", "").isalnum()]
    path = [part for part in path if part not in ("str", "int", "Sampling", "SystemPrompt")]
    dotted = ".".join(str(part) for part in ([key] if key else []) + path)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{dotted}: is missing"
    if problem["type"] == "unexpected_keyword_argument":
        return f"{dotted}: no such key"
    given = "" if message.startswith(str(path[-1]) if path else " ") else f", got {problem['input']!r}"
    return f"{dotted}: {message[0].lower() + message[1:]}{given if path else ''}"


def _refuse_unknown_keys(values: Mapping[str, Any], known: Iterable[str], key: str) -> None:
    for name in values:
        if name not in known:
            dotted = f"{key}.{name}" if key else name
            raise ConfigError(f"{dotted}: no such key{nearest(name, known)}")


def _keywords(target: Callable[..., Any]) -> list[str]:
    """The keys that a class or a step function takes from YAML: all but a step's own two, record and llm."""
    parameters = inspect.signature(target).parameters.values()
    skip = 0 if inspect.isclass(target) else 2
    return [one.name for one in list(parameters)[skip:] if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]


def _locate(dotted: str, key: str) -> Any:
    module_name, _, name = dotted.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{key}: {dotted!r} can't be imported ({error})") from None
    if not callable(getattr(module, name, None)):
        public = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise ConfigError(f"{key}: {module_name!r} has no {name!r}{nearest(name, public)}")
    return getattr(module, name)


def _resolve(composed: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(composed, DictConfig):
        return dict(composed)
    try:
        plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    return {str(key): value for key, value in dict(plain).items()}  # type: ignore[arg-type]
