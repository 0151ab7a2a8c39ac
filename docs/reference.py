"""docs/reference.md, out of the code: each key with its type, its default and one line.

    python docs/reference.py

A key's type and default are those of the class that reads it. Its line is the comment beside it in conf/, else the
sentence of the class's docstring that names it, else LINES below. tests/test_reference.py checks that the page is up to
date and that no key is without a line.
"""

import dataclasses
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from omegaconf import OmegaConf  # noqa: E402

from synth.components.own_defaults import default_of  # noqa: E402
from synth.configuration.config_groups import CONF_DIR  # noqa: E402
from synth.configuration.settings import Cluster, Settings  # noqa: E402
from synth.engines import Sampling  # noqa: E402
from synth.models.model import Model  # noqa: E402
from synth.records import Slice  # noqa: E402

PAGE, CONFIG = ROOT / "docs" / "reference.md", CONF_DIR / "config.yaml"
OF_PRESETS = ("engine", "source")
PACKAGES = {
    "Steps": ("synth.steps", "__call__"),
    "Filters": ("synth.quality", "__call__"),
    "Verifiers": ("synth.verifiers", "verify"),
    "Models by transformers": ("synth.quality", "score", "embed"),
}
OF_RUNS = ("synth.steps.stratify",)  # modules of steps that a run adds by itself: no `_target_` names them
INTRO = """# Every key

Made of the code by `python docs/reference.py`. A key is an override on the command line, as `num_records=500` or
`strategy.magpie.n_turns=2`, and an argument of [`synth.generate`](python_api.md). `--help` and the files of `conf/`
have the same keys with their values. In a *default*, `required` means that there is none.
"""
LINES = {  # by the key, or by the class and the key
    "Settings.output_dir": "the run folder, of the whole run where there are slices; where none is named and another "
    "run has the default, it gets a number ([own folder](quickstart.md#stop-resume-begin-anew))",
    "push_to_hub": "`user/name` on the Hub, where the finished dataset is pushed to ([export](export.md#to-the-hub))",
    "publish": "`hub:user/name`, a URL such as `s3://bucket/folder`, or a path that begins with `/` or `./`: where "
    "rows go while the run goes on ([publish](publish.md))",
    "revision": "a branch, tag or commit on the Hub",
    "Cluster.address": "null starts Ray on this machine; else `HOST:PORT` of a cluster's head, or `auto`",
    "Remote.base_url": "the address of the server, up to `/v1`",
    "Hub.name": "the dataset's name on the Hub",
    "Hub.split": "the split that is read",
    "BatchFile.repeat": "a request has one result",
    "Hub.bad_rows": "as of `source=file`",
    "first_token_s": "seconds until the first token of an answer",
    "max_model_len": "tokens of prompt and answer together",
    "tensor_parallel_size": "GPUs that share each layer of one engine",
    "pipeline_parallel_size": "stages of layers that one engine is divided into, each on GPUs of its own",
    "log_level": "of vLLM's own log, in `RUN_DIR/logs`",
    "kv_cache_dtype": "as vLLM has it; `fp8` holds twice as many tokens ([levers](levers.md))",
    "enable_prefix_caching": "whether what prompts begin with in common is computed once",
    "top_p": "the likeliest tokens that together have this probability are drawn from",
    "top_k": "so many of the likeliest tokens are drawn from; 0: all",
    "min_p": "tokens with less than this share of the likeliest one's probability are not drawn",
    "presence_penalty": "subtracted from the logit of a token that is in the answer already",
    "frequency_penalty": "the same, times how often it is",
    "repetition_penalty": "the logit of a token that is in prompt or answer is divided by it",
    "Sampling.seed": "null: derived for each call from the run's seed and the record; a number: the same for all calls",
    "sampling": "how the step's answers are drawn",
    "judge": "keys of the judge, as of [Judge](#judge)",
    "reward_model": "in place of the judge: a pooling model of the run, or a class with `score(messages)`",
    "responses": "how the responses are drawn",
    "rating": "how ratings are drawn",
    "verifier": "`_target_` and keys of a [verifier](#verifiers)",
    "unit": "what is counted",
    "dtype": "as torch has it; `auto`: as stored",
}

Row = tuple[str, str, str, str]


def page() -> str:
    comments = of_strategies()
    parts = [INTRO]
    parts += section(
        "A run",
        "At the top level.",
        rows(Settings, commented(CONFIG), plain(CONFIG)),
    )
    model = commented(CONFIG, within="model")
    parts += section(
        "Model",
        "Below `model`, and below [`models.NAME`](models.md).",
        rows(Model, model, plain(CONFIG)["model"]),
    )
    parts += section("Cluster", "Below `cluster`.", rows(Cluster, commented(CONF_DIR / "cluster" / "local.yaml")))
    for group in OF_PRESETS:
        for path in sorted((CONF_DIR / group).glob("*.yaml")):
            target = re.search(r"^_target_: (\S+)", path.read_text(), re.MULTILINE)
            if target:
                told = f"Below `{group}`, with `{group}={path.stem}`."
                parts += section(
                    f"{group.capitalize()} {path.stem}", told, rows(named(target[1]), commented(path), plain(path))
                )
    told = (
        "Below each key of a step that is a sampling, as `strategy.magpie.instruction`. What is not set keeps the "
        "step's own default."
    )
    parts += section("Sampling", told, rows(Sampling, {}))
    for head, (package, *methods) in PACKAGES.items():
        parts += [f"## {head}\n"]
        for kind in components(package, methods):
            target = f"{kind.__module__}.{kind.__qualname__}"
            parts += section(
                kind.__name__, f"`_target_: {target}`. {first_sentence(kind)}", rows(kind, comments), "###"
            )
    return "\n".join(parts)


def section(head: str, told: str, lines: Iterator[Row], level: str = "##") -> list[str]:
    table = [f"| `{key}` | {kind} | {default} | {line} |" for key, kind, default, line in lines]
    if table:
        table = ["| key | type | default | |", "| --- | --- | --- | --- |", *table]
    return [f"{level} {head}\n", f"{told}\n", *table, ""]


def rows(target: Any, comments: Mapping[Any, str], values: Mapping[str, Any] | None = None) -> Iterator[Row]:
    """Of the parameters that are keys. `comments` are by key, or by target and key; `values` are those of a file."""
    values = values or {}
    hints = typing.get_type_hints(target if dataclasses.is_dataclass(target) else target.__init__, include_extras=True)
    name, classes = f"{target.__module__}.{target.__qualname__}", [base.__name__ for base in target.__mro__]
    for key, parameter in inspect.signature(target).parameters.items():
        if hints.get(key) is Model or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        ours = next((LINES[f"{one}.{key}"] for one in classes if f"{one}.{key}" in LINES), None)
        line = ours or comments.get(key) or comments.get((name, key)) or sentence(target, key) or LINES.get(key, "")
        yield key, kind_of(hints.get(key)), default(target, key, values), line.replace("|", "\\|").replace("<", "&lt;")


def default(target: Any, key: str, values: Mapping[str, Any]) -> str:
    """That of the group's file, else that of the class."""
    value = values[key] if key in values else default_of(target, key)
    return "required" if value in (dataclasses.MISSING, inspect.Parameter.empty, "???") else shown(value)


def shown(value: Any) -> str:
    """As YAML has it; of keys, those that are not as they are anyway."""
    if isinstance(value, Path):
        value = str(value.relative_to(ROOT) if value.is_relative_to(ROOT) else value)
    if isinstance(value, list) and len(value) == 1 and dataclasses.is_dataclass(value[0]):
        return shown(value[0])
    if dataclasses.is_dataclass(value):
        own = {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if field.init and getattr(value, field.name) != default_of(type(value), field.name)
        }
        return ", ".join(f"`{name}: {one}`" for name, one in own.items()) or "see there"
    if isinstance(value, tuple | frozenset | set):
        value = sorted(value) if not isinstance(value, tuple) else list(value)
    text = value if isinstance(value, str) and value else json.dumps(value, default=str, ensure_ascii=False)
    text = " ".join(text.split()).replace("|", "\\|")
    return f"`{text}`" if len(text) <= 60 else f"`{text[:57]}...`"


def kind_of(hint: Any) -> str:
    """A type in the words of YAML."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inside, *notes = arguments
        bounds = [bound for note in notes for bound in bounds_of(note)]
        return " ".join([kind_of(inside), *bounds])
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_of(one) for one in arguments))
    if origin in (list, tuple, set, frozenset, typing.get_origin(typing.Sequence[int])):
        inner = dict.fromkeys(kind_of(one) for one in arguments if one is not Ellipsis)
        return f"list of {', '.join(inner)}" if inner else "list"
    if origin is dict or hint is dict or origin is typing.get_origin(Mapping[str, int]):
        return "mapping"
    words = {
        Slice: "text",
        int: "int",
        float: "float",
        str: "text",
        bool: "bool",
        type(None): "null",
        Any: "any",
        Path: "path",
    }
    if hint in words:
        return words[hint]
    return "[sampling](#sampling)" if hint is Sampling else "mapping" if inspect.isclass(hint) else "any"


def bounds_of(note: Any) -> Iterator[str]:
    """Of pydantic's Field, which holds them as a list."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for one in getattr(note, "metadata", ()) or ():
        for name, sign in signs.items():
            if (bound := getattr(one, name, None)) is not None:
                yield f"{sign} {bound}"


def components(package: str, methods: list[str]) -> Iterator[type]:
    """The classes that a `_target_` can name, by the methods that they have."""
    modules = iter_modules(import_module(package).__path__, f"{package}.")
    for module in (module for module in modules if module.name not in OF_RUNS):
        for name, kind in sorted(vars(import_module(module.name)).items()):
            public = inspect.isclass(kind) and kind.__module__ == module.name and not name.startswith("_")
            if public and dataclasses.is_dataclass(kind) and any(is_asked(kind, method) for method in methods):
                yield kind


def is_asked(kind: type, method: str) -> bool:
    """Whether it is a step, where a step is looked for: `__call__` takes a record and an llm."""
    function = getattr(kind, method, None)
    if not inspect.isfunction(function):
        return False
    return method != "__call__" or list(inspect.signature(function).parameters)[1:] == ["record", "llm"]


def plain(path: Path) -> dict[str, Any]:
    """The keys of a file, unresolved."""
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def named(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def commented(path: Path, within: str | None = None) -> dict[str, str]:
    """The comments of a file's keys, at its top or within one of them."""
    found: dict[str, str] = {}
    indent, key, inside = "" if within is None else "  ", None, within is None
    for line in path.read_text().splitlines():
        if within is not None and re.match(r"\w", line):
            inside = line.startswith(f"{within}:")
        elif inside and key and (more := re.match(r"\s{10,}# (.*)", line)):
            found[key] += f" {more[1]}"
            continue
        if inside and (match := re.match(rf"{indent}(\w+):(?:[^#]*\s# (.*))?", line)):
            key = match[1] if match[2] else None
            if key:
                found[key] = match[2]
    return found


def of_strategies() -> dict[tuple[str, str], str]:
    """The comments of the keys of steps, by what their `_target_`s name."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted((CONF_DIR / "strategy").glob("*.yaml")):
        for step in re.findall(r"^\w+:.*\n(?:(?: .*)?\n)+", path.read_text(), re.MULTILINE):
            target = re.search(r"^  _target_: (\S+)", step, re.MULTILINE)
            inside = re.sub(r"^  ", "", step.partition("\n")[2], flags=re.MULTILINE)
            for key, _, line in re.findall(r"^(\w+):([^#\n]*)\s# (.*)$", inside, re.MULTILINE):
                if target and target[1].startswith("synth.steps."):  # of a filter they are about that one chain
                    found.setdefault((target[1], key), line)
    return found


def first_sentence(kind: type) -> str:
    return re.split(r"(?<=\.)\s", " ".join((kind.__doc__ or "").split()))[0]


def sentence(target: Any, key: str) -> str:
    """The first of the docstring that names the key."""
    for base in target.__mro__:
        sentences = re.split(r"(?<=\.)\s+(?=[A-Z`])", " ".join((base.__doc__ or "").split()))
        for one in sentences:
            if f"`{key}`" in one or re.search(rf"`{key}: ", one):
                return one
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
