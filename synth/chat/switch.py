"""Finds out how thinking is switched on and off in a chat template, by trying it; there is no table of templates.

A template has a variable (`enable_thinking`, `thinking`, `reasoning_effort`), or searches the system prompt for a word
(`/no_think`). Each is tried with the values that the template compares it with. The rendered prompt shows the effect:
one that closes the reasoning makes the model answer without. If no prompt does, a variable that is named after thinking
and changes the prompt is trusted.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synth.chat.probe import Probe
from synth.chat.rendering import SPEAKS_OF_THINKING, ChatTemplateError

ON, OFF = "on", "off"
LEVELS = ("low", "medium", "high")
_DENIES = re.compile(r"(^|_)(no|non|not|disable|skip|without|hide)", re.IGNORECASE)
_NONE = re.compile(r"none|off|no|disabled?|false|no_?think(ing)?", re.IGNORECASE)

_UNMARKED = (
    "the chat template makes the model think, and does not show how reasoning is marked: set "
    'model.reasoning_tags=["START","END"], or null to take answers as they are'
)
State = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Setting:
    """Template variables for a mode of thinking, and a word for the system prompt."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    word: str | None = None

    def under(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages with the word in their system prompt."""
        if self.word is None:
            return messages
        if not messages or messages[0]["role"] != "system":
            return [{"role": "system", "content": self.word}, *messages]
        return [messages[0] | {"content": f"{messages[0].get('content') or ''}\n{self.word}"}, *messages[1:]]


@dataclass(frozen=True, slots=True)
class Switch:
    """A template's modes of thinking. `is_marked`: the marks of reasoning are known; without them a model that is
    switched on can't be used."""

    settings: Mapping[str, Setting]
    is_marked: bool = True

    def setting(self, way: str | None) -> Setting:
        """None is the template's default. Raises ChatTemplateError, in one line, if there is no such mode."""
        if way is None:
            return Setting()
        if way not in self.settings:
            why = {
                ON: "the chat template cannot switch thinking on",
                OFF: "the chat template cannot switch thinking off",
            }.get(way, f"the chat template has no mode of thinking {way!r}")
            raise ChatTemplateError(f"thinking={way}: {why}; it has {', '.join(self.settings)}")
        if not self.is_marked and way != OFF and self.settings[way].variables:
            raise ChatTemplateError(f"thinking={way}: {_UNMARKED}")
        return self.settings[way]

    def refuse_unmarked(self, default: str, probe: Probe) -> None:
        """Raises ChatTemplateError if a template is switched on by its own variables, and reasoning has no marks."""
        on = self.settings.get(ON, Setting())
        if not self.is_marked and on.variables and probe.question(None, on.variables) == default:
            raise ChatTemplateError(_UNMARKED)


def tried(probe: Probe) -> Iterator[tuple[Setting, str]]:
    """Every setting that may affect thinking, with the resulting prompt."""
    for name, values in probe.source.variables.items():
        known = [value for value in values if not isinstance(value, bool)]
        takes_texts = not known or any(isinstance(value, str) for value in known)
        levels = LEVELS if takes_texts and SPEAKS_OF_THINKING.search(name) else ()
        for value in dict.fromkeys([*known, *levels]):
            yield from _written(probe, Setting({name: value}))
        for switch in (True, False):  # equal to 1 and 0 as keys of a dict
            yield from _written(probe, Setting({name: switch}))
    for word in filter(SPEAKS_OF_THINKING.search, probe.source.words):
        yield from _written(probe, Setting(word=word))


def settings(default: str, tries: Sequence[tuple[Setting, str]], is_closed: State, thinks: bool) -> dict[str, Setting]:
    """A template's modes of thinking by name: `on`, `off`, and levels such as `high`.

    `default` is the prompt without a setting, `tries` are those of `tried`. `is_closed` tells of a prompt whether it
    has closed the reasoning; `thinks` whether a model thinks if no prompt has.
    """
    found: dict[str, Setting] = {}
    prompts: dict[str, list[tuple[Setting, str]]] = {}
    for setting, prompt in tries:
        prompts.setdefault(_name(setting), []).append((setting, prompt))
    shown = {name: options for name, options in prompts.items() if len({is_closed(one) for _, one in options}) > 1}
    default_is_off = is_closed(default)
    for name, options in prompts.items():  # for example a word that closes, although none opens
        if name not in shown and any(is_closed(one) != default_is_off for _, one in options):
            shown[name] = options
    for options in shown.values():
        for mode, closes in ((OFF, True), (ON, False)):
            fitting = [(setting, prompt) for setting, prompt in options if is_closed(prompt) is closes]
            if fitting:
                found.setdefault(mode, _best(fitting, mode == ON, default if default_is_off is closes else None))
    if not shown:
        for name, options in prompts.items():
            if SPEAKS_OF_THINKING.search(name):
                found |= {mode: one for mode, one in _by_name(name, options).items() if mode not in found}
    for name, options in prompts.items():
        if SPEAKS_OF_THINKING.search(name):
            found |= {level: one for level, one in _levels(options).items() if level not in found}
    if ON not in found and any(prompt == default for one, prompt in tries if one == found.get(OFF)):
        level = next((one for one in ("medium", *found) if one in found and one != OFF), None)
        if level is not None:  # the default is off
            found[ON] = found[level]
    if default_is_off:
        found.setdefault(OFF, Setting())
    elif thinks or OFF in found:
        found.setdefault(ON, Setting())
    elif not found:
        found[OFF] = Setting()
    return found


def _written(probe: Probe, setting: Setting) -> Iterator[tuple[Setting, str]]:
    if prompt := probe.question(setting.word, setting.variables):
        yield setting, prompt


def _name(setting: Setting) -> str:
    return next(iter(setting.variables), "word: think")


def _value(setting: Setting) -> Any:
    return next(iter(setting.variables.values()), setting.word)


def _best(options: list[tuple[Setting, str]], switch: bool, default: str | None) -> Setting:
    """Prefers a boolean variable, unless it is printed as `True`; then no setting, if the default has the effect; then
    a variable with other values."""
    plain = (one for one, prompt in options if _value(one) is switch and str(switch) not in prompt)
    return next(plain, options[0][0] if default is None else Setting())


def _by_name(name: str, options: list[tuple[Setting, str]]) -> dict[str, Setting]:
    """By the variable's name, if true and false change more than their own spelling in the prompt."""
    written = {_value(setting): (setting, prompt) for setting, prompt in options if isinstance(_value(setting), bool)}
    if len(written) == 2:
        (on, yes), (off, no) = written[True], written[False]
        if yes.replace("True", "False") != no:
            return {OFF: on, ON: off} if _DENIES.search(name) else {ON: on, OFF: off}
    return {}


def _levels(options: list[tuple[Setting, str]]) -> dict[str, Setting]:
    """String values of a variable that each change the prompt. `none` is off."""
    texts = [(setting, prompt) for setting, prompt in options if isinstance(_value(setting), str) and not setting.word]
    if len({prompt for _, prompt in texts}) < 2:
        return {}
    return {OFF if _NONE.fullmatch(_value(setting)) else _value(setting): setting for setting, _ in texts}
