"""The user's next turn: the text that a chat template writes before it, and the stop at its end.

Magpie draws instructions by it (section 2 of arXiv 2406.08464): the model continues a conversation that ends with the
user's heading.

Promises: what can't be derived from the template is refused with the key of `model` that sets it. A failure affects
drawn user turns only, so it is kept as `error`, and raised when a turn is asked for.
"""

from collections.abc import Sequence
from typing import Any

from synth.chat.default_prompt import without_default
from synth.chat.probe import Probe
from synth.chat.rendering import ChatTemplateError, Renderer
from synth.chat.special_tokens import SpecialTokens
from synth.chat.stops import Stop, stop_at, stop_by_hand


class UserTurn:
    """`first`, `later` and `stop` replace what would be derived: the start of a conversation, the text after the
    conversation so far, and the strings that end a turn. `keeps_default` tells whether the start keeps the template's
    default system prompt. `eos` ends every turn; `bos` is the text of the token that begins a conversation, if any.
    """

    def __init__(
        self,
        renderer: Renderer,
        probe: Probe,
        special_tokens: SpecialTokens,
        *,
        bos: str | None,
        eos: Stop,
        keeps_default: bool,
        first: str | None,
        later: str | None,
        stop: Sequence[str] | None,
    ):
        self._renderer, self._probe, self._special_tokens = renderer, probe, special_tokens
        self._first, self._later = first, later
        self._start = self._drawn_start = ""
        self.stop = eos
        self.error: ChatTemplateError | None = None
        try:
            self._start = self._derived_start()
            self.stop = self._end(stop) | eos
            self._drawn_start = self._start if keeps_default else self._without_default(bos, eos)
        except ChatTemplateError as error:
            self.error = error

    def prompt(self, messages: list[dict[str, Any]]) -> str:
        """The text before the turn that follows `messages`, which have been escaped. Raises ChatTemplateError."""
        has_system = any(message["role"] in ("system", "developer") for message in messages)
        if not messages and self._first is not None:
            return self._first
        if self._probe.needs_system and not has_system:
            raise ChatTemplateError("the chat template requires a system prompt, and there is none")
        text = self._later_turn(messages) if len(messages) > has_system else self._probe.before_user(messages)
        if not has_system and text.startswith(self._start):
            text = self._drawn_start + text.removeprefix(self._start)
        return text

    def _later_turn(self, messages: list[dict[str, Any]]) -> str:
        if self._later is not None:
            return self._renderer.render(messages, add_generation_prompt=False) + self._later
        try:
            return self._probe.before_user(messages)
        except ChatTemplateError as error:
            raise ChatTemplateError(f"{error}; set model.later_pre_query if later turns can't be derived") from error

    def _end(self, by_hand: Sequence[str] | None) -> Stop:
        if by_hand is not None:
            return stop_by_hand(by_hand, self._special_tokens)
        for written in (self._probe.after_user(), self._probe.between_user_and_answer()):
            if stop := stop_at(written, self._special_tokens):
                return stop
        raise ChatTemplateError(
            "the chat template writes nothing that ends a user's turn: set model.query_stop, a list of strings"
        )

    def _derived_start(self) -> str:
        """The start of a conversation by the template. Empty if there is none and one is configured, or if it has to be
        a system prompt."""
        if self._probe.needs_system:
            return ""
        try:
            start = self._probe.before_user([])
            reason = "the chat template starts with the user's words"
        except ChatTemplateError as error:
            start, reason = "", str(error)
        if not start.strip() and self._first is None:
            raise ChatTemplateError(
                f"no pre-query prompt can be derived: {reason}; set model.pre_query, all text before the user's first "
                "words, and model.query_stop, strings that end them"
            )
        return start

    def _without_default(self, bos: str | None, eos: Stop) -> str:
        closing, after_answer = self._probe.closing(), self._probe.between_answer_and_user()
        if not self._start or after_answer in ("", closing):
            return self._start  # no default to remove, or no later turn to compare with
        ends = [text for text, id in self._special_tokens.ids.items() if id in eos.token_ids]
        around = after_answer, closing, self._probe.after_user()
        start = without_default(self._start, *around, self._special_tokens, bos, ends)
        if start is None or not self._probe.goes_on_from(self._start):
            raise ChatTemplateError(
                "can't separate the chat template's default system prompt from its headings: "
                "set model.default_system_prompt=keep, or set a template without one as model.chat_template"
            )
        return start
