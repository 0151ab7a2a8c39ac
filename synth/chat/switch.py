"""How a chat template is told that the model is to think, or not to: found by trying it, with no table of templates.

A template is told by a variable (`enable_thinking`, `thinking`, `reasoning_effort`) or by a word in the system prompt
for which it looks (`/no_think`). Each is tried with the values that the template compares it with. What is written then
says what it does: a prompt that closes the thoughts has the model answer without any. Where no prompt does, a variable
that speaks of thinking and changes the prompt is taken at its word.

Knows nothing of what a model says.
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
    "the chat template has the model think, and does not show how thoughts are told from an answer: give "
    'model.reasoning_tags=["START","END"], or null for answers as they are'
)
State = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a template is given for one way to think: variables, and a word in the system prompt."""

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
    """The ways to think that a template knows. `is_marked` is whether it is known how thoughts are told from an answer:
    where it is not, a model that is switched on can't be asked."""

    settings: Mapping[str, Setting]
    is_marked: bool = True

    def setting(self, way: str | None) -> Setting:
        """None is as the template has it. Raises ChatTemplateError, in one line, where it can't."""
        if way is None:
            return Setting()
        if way not in self.settings:
            why = {
                ON: "nothing in the chat template has the model think",
                OFF: "nothing in the chat template keeps the model from thinking",
            }.get(way, f"the chat template knows no way to think called {way!r}")
            raise ChatTemplateError(f"thinking={way}: {why}; it knows {', '.join(self.settings)}")
        if not self.is_marked and way != OFF and self.settings[way].variables:
            raise ChatTemplateError(f"thinking={way}: {_UNMARKED}")
        return self.settings[way]

    def refuse_unmarked(self, default: str, probe: Probe) -> None:
        """Raises ChatTemplateError where a template is switched on by its own variables, and thoughts have no mark."""
        on = self.settings.get(ON, Setting())
        if not self.is_marked and on.variables and probe.question(None, on.variables) == default:
            raise ChatTemplateError(_UNMARKED)


def tried(probe: Probe) -> Iterator[tuple[Setting, str]]:
    """Every setting that may have to do with thinking, with the prompt that the template writes then."""
    for name, values in probe.source.variables.items():
        known = [value for value in values if not isinstance(value, bool)]
        takes_texts = not known or any(isinstance(value, str) for value in known)
        levels = LEVELS if takes_texts and SPEAKS_OF_THINKING.search(name) else ()
        for value in dict.fromkeys([*known, *levels]):
            yield from _written(probe, Setting({name: value}))
        for switch in (True, False):  # which are not 1 and 0 to a dict
            yield from _written(probe, Setting({name: switch}))
    for word in filter(SPEAKS_OF_THINKING.search, probe.source.words):
        yield from _written(probe, Setting(word=word))


def settings(default: str, tries: Sequence[tuple[Setting, str]], is_closed: State, thinks: bool) -> dict[str, Setting]:
    """The ways to think that a template knows, by their names: `on`, `off`, and levels such as `high`.

    `default` is the prompt where nothing is said, `tries` are those of `tried`. `is_closed` says of a prompt whether it
    has ended the thoughts; `thinks` whether a model thinks where none has.
    """
    found: dict[str, Setting] = {}
    prompts: dict[str, list[tuple[Setting, str]]] = {}
    for setting, prompt in tries:
        prompts.setdefault(_name(setting), []).append((setting, prompt))
    shown = {name: options for name, options in prompts.items() if len({is_closed(one) for _, one in options}) > 1}
    default_is_off = is_closed(default)
    for name, options in prompts.items():  # a word that closes, where nothing opens by a word, and the like
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
        if level is not None:  # without more, the template has it off
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
    """A variable that is true or false says it best, if it is not written down as `True`; then none, if there is a
    default that does; then one with a value of its own."""
    plain = (one for one, prompt in options if _value(one) is switch and str(switch) not in prompt)
    return next(plain, options[0][0] if default is None else Setting())


def _by_name(name: str, options: list[tuple[Setting, str]]) -> dict[str, Setting]:
    """By the word that a variable is called by, if true and false make a difference beyond their own spelling."""
    written = {_value(setting): (setting, prompt) for setting, prompt in options if isinstance(_value(setting), bool)}
    if len(written) == 2:
        (on, yes), (off, no) = written[True], written[False]
        if yes.replace("True", "False") != no:
            return {OFF: on, ON: off} if _DENIES.search(name) else {ON: on, OFF: off}
    return {}


def _levels(options: list[tuple[Setting, str]]) -> dict[str, Setting]:
    """Texts that a variable may have, each of which makes a difference. One that says `none` is off."""
    texts = [(setting, prompt) for setting, prompt in options if isinstance(_value(setting), str) and not setting.word]
    if len({prompt for _, prompt in texts}) < 2:
        return {}
    return {OFF if _NONE.fullmatch(_value(setting)) else _value(setting): setting for setting, _ in texts}
