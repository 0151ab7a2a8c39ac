"""Turns errors of Hydra and OmegaConf into one line with the nearest valid choice.

Hydra stops at the first bad override, so the valid keys for a suggestion come from composing again without it.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synth.configuration.composition import refuse_keys_of_hydra
from synth.configuration.config_groups import CONF_DIR, GROUPS, options
from synth.configuration.engine_files import add_engine_file, names_file
from synth.errors import ConfigError, nearest, reason


class CommandLine:
    """The arguments of `python -m synth.run`. Raises ConfigError for those that Hydra would not understand."""

    def __init__(self, arguments: Sequence[str]):
        arguments = [_of_model(word) for word in arguments]
        self._arguments = _Parser().parse(arguments)
        read = {word: _override(word) for word in self._arguments.overrides}
        self.words = [str(read[word].input_line) if word in read else word for word in arguments]
        self.overrides = [read[word] for word in self._arguments.overrides]
        for override in self.overrides:
            name = override.key_or_group
            if name == "engine" and not override.is_delete():
                for value in filter(names_file, _value(override).split(",")):
                    add_engine_file(value)
            if name in GROUPS and not override.is_delete() and not _names_options(override):
                value = _value(override) or "nothing"
                raise ConfigError(f"{name}: has no choice {value}{nearest(value, options(name))}")

    @property
    def asks_help(self) -> bool:
        return bool(self._arguments.help)

    @property
    def asks_to_print(self) -> bool:
        """Whether Hydra only prints the configuration, or something about itself."""
        return bool(self._arguments.cfg or self._arguments.info or self._arguments.hydra_help)

    def refuse_keys_of_hydra(self) -> None:
        """Called before Hydra acts on them. Raises ConfigError for keys that a file sets."""
        given = self._arguments
        typed = [override for override in self.overrides if override.key_or_group.startswith(("hydra.", "hydra/"))]
        named = {name: getattr(given, name) for name in ("config_dir", "config_path", "config_name")}
        if any(named.values()) or any(override.key_or_group == "hydra.searchpath" for override in typed):
            for words in self._one_by_one():
                refuse_keys_of_hydra(words, [str(override.input_line) for override in typed], **named)

    def _one_by_one(self) -> Iterator[list[str]]:
        """The overrides without sweeps: with the first value of each, then with each further option of a group."""
        values = [
            [f"{str(override.input_line).partition('=')[0]}={value}" for value in override.sweep_string_iterator()]
            if override.is_sweep_override()
            else [str(override.input_line)]
            for override in self.overrides
        ]
        first = [words[0] for words in values]
        yield first
        for place, one in enumerate(self.overrides):
            if "." not in one.key_or_group:
                yield from ([*first[:place], word, *first[place + 1 :]] for word in values[place][1:])

    def new_key(self, error: Exception) -> str | None:
        """A key that Hydra refused because it has no default, if a component may take it; else None."""
        refused = self._refused(error)
        group, _, name = refused.key_or_group.partition(".") if refused else ("", "", "")
        changes = refused is not None and refused.type == OverrideType.CHANGE
        if refused is None or not changes or group not in GROUPS or not name or "Could not override" not in str(error):
            return None
        chosen = group in ("model", "engine", "cluster") or any(
            override.key_or_group == group for override in self.overrides
        )
        return refused.key_or_group if chosen or self._without(refused).get(group) else None

    def with_new(self, key: str) -> list[str]:
        """The arguments by which Hydra adds the key; its component checks it when it is instantiated."""
        added = [str(override.input_line) for override in self.overrides if override.key_or_group == key]
        return [f"++{word}" if word in added else word for word in self.words]

    def explain(self, error: Exception) -> str:
        """One line for the error that stopped Hydra during composition."""
        return " ".join((self._explain(error) or reason(error)).split())

    def _explain(self, error: Exception) -> str | None:
        text = str(error)
        if isinstance(error, MissingConfigException) and error.missing_cfg_file:
            return self._no_such_option(error)
        if isinstance(error, OmegaConfBaseException) and error.full_key:
            return f"{error.full_key}: {reason(error)}"
        if mark := getattr(error, "problem_mark", None):
            return f"{mark.name}: line {mark.line + 1} is not YAML: {getattr(error, 'problem', '')}"
        if found := re.match(r"(?:Multiple values for )?([\w/@]+)(?:\. To override| appears more than once)", text):
            return f"{found[1]}: is chosen twice; to choose another option, leave out the plus sign or one of them"
        if found := re.match(r"Ambiguous value for argument '\W*([^=']+)=", text):
            listed = f"{found[1]}: write a list as [a,b]; a sweep over several values needs --multirun"
            in_file = f", or read it from a file: {found[1]}=@FILE" if found[1].startswith("strategy.") else ""
            return f"{listed}; quote a text with commas twice, once for the shell{in_file}"
        refused = self._refused(error)
        return self._why_refused(refused) if refused else None

    def _refused(self, error: Exception) -> Override | None:
        """The override that Hydra could not apply."""
        quoted = re.search(r"'([^']+)'", str(error))
        key = quoted[1].lstrip("+~").partition("=")[0] if quoted else None
        return next((override for override in self.overrides if override.key_or_group == key), None)

    def _no_such_option(self, error: MissingConfigException) -> str:
        path = str(error.missing_cfg_file).removesuffix(".yaml")
        group, _, name = path.partition("/")
        if group not in GROUPS:
            group, _, name = path.rpartition("/")
        if group == "model" and "/" in name:
            return f"model: is for files of conf/model; set model.path={name} for a folder or a name on the Hub"
        group = group or "--config-name"
        return f"{group}: there is no {name!r}{nearest(name, [*(error.options or ()), *_options_of(group)])}"

    def _why_refused(self, override: Override) -> str:
        key = override.key_or_group
        value = _value(override)
        if key in GROUPS and not override.is_add():
            return f"{key}: none is chosen yet, and the first one needs a plus sign: {_plus(key, value)}"
        if key.startswith("strategy.") and "strategy" not in self._without(override):
            return f"{key}: no strategy is chosen{nearest('', options('strategy'))} by +strategy=NAME"
        if key.startswith("source.") and not self._without(override).get("source"):
            return f"{key}: no source is chosen; choose from {', '.join(options('source'))} by source=NAME"
        known = set(_keys(self._without(override)))
        if override.is_add() and key in known | set(GROUPS):
            return f"{key}: exists already; leave out the plus sign"
        top = [name for name in known if "." not in name] if "." not in key else []
        close = nearest(key, top)
        return f"{key}: no such key{close if 'did you mean' in close else nearest(key, known)}"

    def _without(self, refused: Override) -> DictConfig:
        """The configuration composed without an override and, if need be, without those after it."""
        words = self._others(refused)
        for count in range(len(words), -1, -1):
            try:
                return self._compose(words[:count])
            except Exception:  # suggestions are optional: other errors are reported in their turn
                continue
        return OmegaConf.create()

    def _others(self, refused: Override) -> list[str]:
        return [
            str(override.input_line)
            for override in self.overrides
            if override is not refused and not override.is_sweep_override()
        ]

    def _compose(self, overrides: list[str]) -> DictConfig:
        name, folder = self._arguments.config_name or "config", self._arguments.config_dir
        folders = [str(Path(folder).absolute()) if folder else str(CONF_DIR), str(CONF_DIR)]
        if not (Path(folders[0]) / name).with_suffix(".yaml").is_file():
            folders.reverse()
        GlobalHydra.instance().clear()
        with initialize_config_dir(folders[0], version_base=None):
            return compose(name, [*overrides, f"hydra.searchpath=[{folders[1]!r}]"])


def _of_model(word: str) -> str:
    """`models.judge=NAME` chooses a preset, to which the model may add keys, as may its engine; Hydra knows none of
    them."""
    key, equals, value = word.lstrip("+").partition("=")
    if not equals or not f"{key}.".startswith("models.") or word.startswith("~"):
        return word
    if key == "models":
        return f"++{word.lstrip('+')}"
    _, _, *rest = key.split(".")
    is_name = rest in ([], ["engine"]) and not value.lstrip("'\"").startswith("{") and value not in ("null", "")
    return f"++{key}{'.preset' if is_name else ''}={value}"


def in_full(message: str, key: str) -> str:
    """A component's error about an unknown key, with the full name of the suggested key as it is typed."""
    found = re.fullmatch(rf"({re.escape(key)}: no such key; did you mean ')(\w+'\?)", message)
    return f"{found[1]}{key.rpartition('.')[0]}.{found[2]}" if found else message


class _Parser:
    """Hydra's own option parser, with exceptions instead of exits."""

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        parser = get_args_parser()
        parser.error = self._refuse  # type: ignore[method-assign]
        self._known = [option for action in parser._actions for option in action.option_strings]
        return parser.parse_args(list(arguments))

    def _refuse(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        raise ConfigError(f"{unknown[1]}: no such option{nearest(unknown[1], self._known)}" if unknown else message)


def _override(word: str) -> Override:
    key, equals, _ = word.lstrip("+~").partition("=")
    if not equals and not word.startswith("~"):
        chosen = f"; did you mean +strategy={word}?" if word in options("strategy") else ""
        raise ConfigError(f"{word!r} sets nothing; write key=value{chosen}")
    if not key.strip():
        raise ConfigError(f"{word!r} has no key; write key=value")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        text = _as_it_is(word)
        if text is not None:
            return text
        advice = f"quote special characters twice, once for the shell: {key}='\"...\"'"
        raise ConfigError(f"{key}: can't read {word!r}, {reason(error)}; {advice}") from None


def _as_it_is(word: str) -> Override | None:
    """A text that Hydra can't parse, for example with an apostrophe, as it is; not for lists or quoted texts."""
    key, _, value = word.partition("=")
    is_text = value.strip().startswith("{{") or value.strip()[:1] not in ("", *"[{('\"")
    if not is_text or "${" in value:
        return None
    quoted = QuotedString(text=value, quote=Quote.double).with_quotes()
    try:
        return OverridesParser.create().parse_override(f"{key}={quoted}")
    except HydraException:
        return None


def _value(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


def _names_options(override: Override) -> bool:
    if override.is_sweep_override():
        return True
    value: Any = override.value()
    return isinstance(value, list) or (isinstance(value, str) and bool(value))


def _options_of(group: str) -> list[str]:
    return options(group) if group in GROUPS else []


def _plus(group: str, value: str) -> str:
    meant = re.search(r"'(.+)'", nearest(value, options(group)))
    return f"+{group}={value if value in options(group) or not meant else meant[1]}"


def _keys(node: DictConfig) -> Iterator[str]:
    """All dotted keys."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield f"{prefix}{key}"
                yield from walk(value, f"{prefix}{key}.")

    return walk(OmegaConf.to_container(node), "")
