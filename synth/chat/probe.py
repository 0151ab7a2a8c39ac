"""Probes a chat template: renders it with placeholders for texts, and cuts the result at the placeholders.

A placeholder is a lone surrogate that no escaped content contains (special_tokens.py), so it is found exactly where the
template put it. Trimming, capitalizing and escaping don't change it.

Promises: if the template refuses a probe's conversation, the result is an empty string. Only `before_user` raises
ChatTemplateError, since it is used for real conversations. A template that requires a system prompt gets one.
"""

import itertools
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from synth.chat.rendering import SPEAKS_OF_THINKING, ChatTemplateError, Renderer, TemplateSource
from synth.chat.tool_calls import ToolForm, tool_form

THOUGHTS = "\udffb"
USER, _ASSISTANT, _SYSTEM, _NEXT = "\udffc", "\udffd", "\udffe", "\udfff"
_USER_SAYS = {"role": "user", "content": USER}
_ASSISTANT_SAYS = {"role": "assistant", "content": _ASSISTANT}
_ASSISTANT_THINKS = _ASSISTANT_SAYS | dict.fromkeys(("reasoning_content", "reasoning", "thinking"), THOUGHTS)
_SYSTEM_SAYS = {"role": "system", "content": _SYSTEM}
_NONE: Mapping[str, Any] = MappingProxyType({})
_USER_GOES_ON = {"role": "user", "content": _NEXT}


class Probe:
    """Probes of one template."""

    def __init__(self, renderer: Renderer):
        self._renderer = renderer
        self._before: list[dict[str, Any]] = []
        self.needs_system = not self._try([_USER_SAYS], True) and bool(self._try([_SYSTEM_SAYS, _USER_SAYS], True))
        if self.needs_system:
            self._before = [_SYSTEM_SAYS]

    @property
    def source(self) -> TemplateSource:
        return self._renderer.source

    def before_user(self, escaped: list[dict[str, Any]]) -> str:
        """Everything before the user's next turn after these messages."""
        before, found, _ = self._renderer.render([*escaped, _USER_GOES_ON], True).partition(_NEXT)
        if not found:
            raise ChatTemplateError("the chat template leaves out the user's words")
        return before

    def after_user(self, variables: Mapping[str, Any] = _NONE) -> str:
        """The text from the user's last words to the start of the answer."""
        return self.after_words(self.question(None, variables))

    def after_words(self, question: str) -> str:
        """The text after the user's words in the prompt of an answer."""
        return question.partition(USER)[2]

    def question(self, system: str | None = None, variables: Mapping[str, Any] = _NONE) -> str:
        """The whole prompt of an answer to a user's turn, with a system prompt if one is given."""
        under = [] if system is None else [{"role": "system", "content": system}]
        return self._try([*under, _USER_SAYS], True, variables)

    def between_user_and_answer(self) -> str:
        return self._between_user_and(_ASSISTANT_SAYS)

    def before_answer(self, *, thinks: bool, variables: Mapping[str, Any] = _NONE) -> str:
        """What a model itself writes before an answer's words, including its reasoning if it `thinks` and the template
        shows it."""
        prompt = self.after_user(variables)
        between = self._between_user_and(_ASSISTANT_THINKS if thinks else _ASSISTANT_SAYS, variables)
        if thinks and THOUGHTS not in between:
            shown = (part for part in self._in_parts if self._shows_all(part, variables))
            between = next((self._between_user_and(one, variables) for one in shown), between)
        return between.removeprefix(prompt) if prompt and between.startswith(prompt) else ""

    @cached_property
    def _in_parts(self) -> list[dict[str, Any]]:
        """Answers whose reasoning is a part of their content, in the formats that the template's source names."""
        kinds = [one for one in self.source.compared if SPEAKS_OF_THINKING.search(one)]
        answers: list[dict[str, Any]] = []
        for kind, other in itertools.product(kinds, ["text", *self.source.compared]):
            if other in kinds:
                continue
            thoughts, words = {"type": kind, "text": THOUGHTS, kind: THOUGHTS}, {"type": other, "text": _ASSISTANT}
            contents = [[thoughts, words], *({name: [thoughts, words]} for name in self.source.words)]
            answers += ({"role": "assistant", "content": content} for content in contents)
        return answers

    def closing(self) -> str:
        """The text after a final answer."""
        return self._try([_USER_SAYS, _ASSISTANT_SAYS], False).partition(_ASSISTANT)[2]

    def between_answer_and_user(self) -> str:
        text = self._try([_USER_SAYS, _ASSISTANT_SAYS, _USER_GOES_ON], True)
        return text.partition(_ASSISTANT)[2].partition(_NEXT)[0]

    def goes_on_from(self, start: str) -> bool:
        """Whether a conversation of two turns starts like one of a single turn."""
        return self._try([_USER_SAYS, _ASSISTANT_SAYS, _USER_GOES_ON], True).startswith(start + USER)

    def heeds_system(self) -> bool:
        """False if a system prompt is dropped; a template that refuses it raises an error by itself."""
        if self.needs_system:
            return True
        text = self._try([_SYSTEM_SAYS, _USER_SAYS], True)
        return not text or _SYSTEM in text

    @property
    def takes_system(self) -> bool:
        """Whether it writes a system prompt."""
        return self.needs_system or _SYSTEM in self._try([_SYSTEM_SAYS, _USER_SAYS], True)

    def tool_form(self) -> ToolForm | None:
        """The format in which it takes tool calls; None if it shows none."""
        return tool_form(self._renderer, self._before)

    def _shows_all(self, answer: dict[str, Any], variables: Mapping[str, Any]) -> bool:
        """Whether the reasoning is written, followed by the answer."""
        _, shown, after = self._try([_USER_SAYS, answer], False, variables).partition(THOUGHTS)
        return bool(shown) and _ASSISTANT in after

    def _between_user_and(self, answer: dict[str, str], variables: Mapping[str, Any] = _NONE) -> str:
        return self._try([_USER_SAYS, answer], False, variables).partition(USER)[2].partition(_ASSISTANT)[0]

    def _try(
        self, messages: list[dict[str, Any]], add_generation_prompt: bool, variables: Mapping[str, Any] = _NONE
    ) -> str:
        try:
            return self._renderer.render([*self._before, *messages], add_generation_prompt, variables)
        except ChatTemplateError:
            return ""
