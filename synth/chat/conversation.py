"""Conversations in, token ids out: the prompt of an answer, and the prompt of a user's next words.

Promises: `encode` gives the ids that the tokenizer's own `apply_chat_template` would give, except that no content
becomes a control token. `pre_query` gives everything the template writes up to where the user's next words start,
for the first turn and for later ones, with and without a system prompt: what Magpie draws instructions from.
Neither adds a token, a BOS for example, that the template does not write.

A space at the end of a pre-query prompt stays, as in Mistral's `<s>[INST] `, although some tokenizers would merge
it with the first word to come; `model.pre_query` can give the prompt without it.

Knows nothing of records, samplings or engines.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, Literal

from synth.chat.channels import Channels, Stretch
from synth.chat.default_prompt import without_default
from synth.chat.probe import Probe
from synth.chat.reasoning import Reasoning
from synth.chat.rendering import ChatTemplateError, Renderer
from synth.chat.special_tokens import SpecialTokens
from synth.chat.stops import Stop, stop_at, stop_at_ids, stop_by_hand
from synth.chat.switch import ON, Switch, settings, tried
from synth.chat.tags import DEFAULT, Marks, thinking_marks
from synth.chat.thinking import Thinking
from synth.chat.tool_calls import ToolForm, Tools, in_words
from synth.tool_calls import has_calls

Messages = Sequence[dict[str, Any]]

_PROMPT_END = 64  # tokens: enough for what a prompt ends with before an answer, in a vocabulary of hardly any words

# A role is written next to control tokens, in templates like `'<|' + role + '|>'`, so it can't be any text.
ROLES = ("system", "developer", "user", "assistant", "tool")


class ChatTemplate:
    """One tokenizer with its chat template, or with another given as `chat_template`.

    `default_system_prompt` says what becomes of the system prompt that some templates insert where a conversation
    has none. It concerns what users are made to say: with `drop`, `pre_query` starts with the user's heading, so
    that instructions are drawn under no system prompt at all. `encode` follows the template in either case,
    because that is how the model is asked in real life. A conversation with a system prompt of its own is the
    template's affair in both.

    `pre_query` (of a conversation's start), `later_pre_query` (to follow the conversation so far, as the template
    renders it) and `query_stop` are given by hand where the template is no help; control tokens may be spelled in
    them. A conversation that starts with a system prompt is not helped by `pre_query`.

    `reasoning` are the two texts between which a model thinks; `auto` reads from the template and the tokenizer how
    thoughts are told from an answer, by channels or by such texts; None takes answers as they are.

    Where no pre-query prompt or no end of a user's words can be derived and none is given, `pre_query` raises
    ChatTemplateError, and all else works.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        chat_template: str | None = None,
        template_kwargs: dict[str, Any] | None = None,
        default_system_prompt: Literal["keep", "drop"] = "keep",
        pre_query: str | None = None,
        later_pre_query: str | None = None,
        query_stop: Sequence[str] | None = None,
        generation_eos: Sequence[int] = (),
        reasoning: tuple[str, str] | Literal["auto"] | None = "auto",
    ):
        source = chat_template or _own_template(tokenizer)
        self._tokenizer = tokenizer
        self._special_tokens = SpecialTokens(tokenizer)
        variables = {**tokenizer.special_tokens_map, **(template_kwargs or {})}
        self._renderer = Renderer(source, variables, self._special_tokens)
        self._probe = Probe(self._renderer)
        self._first, self._later = pre_query, later_pre_query

        eos = stop_at_ids([tokenizer.eos_token_id, *generation_eos])
        before_answer = self._probe.before_answer(thinks=True) or self._probe.before_answer(thinks=False)
        channels = Channels.read(before_answer, self._special_tokens, self._probe.after_user())
        self.response_stop: Stop = self._end_of_answer(channels.within if channels else ()) | eos
        self.query_stop: Stop = eos
        self._no_query: ChatTemplateError | None = None
        self._start = self._drawn_start = ""
        try:
            self._start = self._derived_start()
            self.query_stop = self._end_of_query(query_stop) | eos
            self._drawn_start = self._start if default_system_prompt == "keep" else self._without_default(eos)
        except ChatTemplateError as error:  # it matters where users are made to speak, and nowhere else
            self._no_query = error
        self._not_text = {self._special_tokens.ids[text] for text in self._special_tokens.special}
        self._not_text |= {*self.query_stop.token_ids, *self.response_stop.token_ids}
        self._channels = channels if reasoning == "auto" else None
        tries, question = list(tried(self._probe)), self._probe.question()
        marks = Marks(*reasoning) if isinstance(reasoning, tuple) else None
        if reasoning == "auto":
            prompts = [question, *(prompt for _, prompt in tries)]
            marks = Marks() if channels else thinking_marks(self._probe, self._special_tokens, prompts)
        tags = (marks.start, marks.end) if marks else None
        self._reasoning: Reasoning | None = None
        if marks:
            is_token = marks.end in self._special_tokens.ids
            self._reasoning = Reasoning(marks.start, marks.end, is_token, marks.around)
        written = [one for tag in tags or () for one in self._special_tokens.split(tag)]
        self._tags = {self._special_tokens.ids[text] for text, is_control in written if is_control}
        self._spellings = {id: text for text, id in self._special_tokens.ids.items()}
        self._thinking = Thinking.read(self._probe, self._special_tokens, self._channels, tags)
        thinks = bool(self._thinking and self._thinking.expected) or self._opens_thoughts(question)
        is_marked = marks is None or marks.is_told or DEFAULT[1] in source
        self._switch = Switch(settings(question, tries, self._closes_thoughts, thinks), is_marked)
        self._switch.refuse_unmarked(question, self._probe)
        if (on := self._switch.settings.get(ON)) and on.variables:
            self._thinking = Thinking.read(self._probe, self._special_tokens, self._channels, tags, on.variables)

    def encode(
        self,
        messages: Messages,
        add_generation_prompt: bool = True,
        thinking: str | None = None,
        tools: Tools = (),
    ) -> list[int]:
        """The prompt of an answer, for which the model is to think as `thinking` says; None: as the template has it.
        `tools` are the specifications of those that it may call, as OpenAI has them.

        Raises ChatTemplateError where the template refuses the conversation, or has no such way to think.
        """
        setting = self._switch.setting(thinking)
        if tools and self._tool_form is None:
            messages, tools = in_words(messages, tools, with_system=self._probe.takes_system), ()
        variables = {**setting.variables, **({"tools": self._mask(tools)} if tools else {})}
        told = setting.under(self._escaped(messages))
        return self._special_tokens.encode(self._renderer.render(told, add_generation_prompt, variables))

    @property
    def takes_tools(self) -> bool:
        """Whether the chat template has a form of its own for tools and their calls; else they are told in words."""
        return self._tool_form is not None

    def said(self, answer: str) -> str:
        """What follows closed thoughts, without what a model puts around its answer."""
        return self._reasoning.said(answer) if self._reasoning else answer.strip()

    def check_thinking(self, thinking: str) -> None:
        """Raises ChatTemplateError, in one line, where the template has no such way to think."""
        self._switch.setting(thinking)

    def pre_query(self, messages: Messages = ()) -> list[int]:
        """The prompt of what the user says next, after `messages`: nothing, a system prompt, or whole turns.

        Raises ChatTemplateError.
        """
        if self._no_query is not None:
            raise self._no_query
        escaped = self._escaped(messages)
        has_system = any(message["role"] in ("system", "developer") for message in escaped)
        if not escaped and self._first is not None:
            return self._special_tokens.encode(self._first)
        if self._probe.needs_system and not has_system:
            raise ChatTemplateError("the chat template demands a system prompt, and there is none")
        text = self._later_turn(escaped) if len(escaped) > has_system else self._probe.before_user(escaped)
        if not has_system and text.startswith(self._start):
            text = self._drawn_start + text.removeprefix(self._start)
        return self._special_tokens.encode(text)

    @property
    def needs_system(self) -> bool:
        """Whether it refuses conversations without a system prompt."""
        return self._probe.needs_system

    def spelled(self, token_ids: Sequence[int]) -> str:
        """A prompt with its control tokens as they are spelled."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def decode(self, token_ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """What was said in `token_ids`, without special tokens and whatever ended it. A space at its beginning is one
        only `after` other tokens, for many a tokenizer."""
        before = self._text(after[-_PROMPT_END:], self._not_text)
        whole = self._text([*after[-_PROMPT_END:], *token_ids], self._not_text)
        return (
            whole.removeprefix(before) if before and whole.startswith(before) else self._text(token_ids, self._not_text)
        )

    def answer(
        self,
        prompt: Sequence[int],
        token_ids: Sequence[int],
        text: str | None = None,
        stop: Sequence[str] = (),
        begun: Sequence[int] = (),
    ) -> tuple[str | None, str]:
        """A model's thoughts, None without any, and what it answered. `text` is the engine's, cut at `stop`. `begun`
        stands between prompt and answer, and is a part of that."""
        if self._channels:
            said_ids = [*begun, *token_ids]
            thoughts, said = self._channels.split(self._stretches(said_ids), self._stretches(prompt[-_PROMPT_END:]))
            for end in stop:
                said = said.partition(end)[0]
            return thoughts, said.strip()
        if text is None or not self._tags.isdisjoint(token_ids):  # an engine may have left the tags out
            text = self._text(token_ids, self._not_text - self._tags)
            for end in stop:
                text = text.partition(end)[0]
        text = self._text(begun, self._not_text - self._tags) + text
        if not self._reasoning:
            return None, text.strip()
        return self._reasoning.split(text, self._generation_prompt(prompt))

    def thinks(self, prompt: Sequence[int]) -> Stop | None:
        """What ends the thoughts with which the model may begin its answer to a prompt. None where it has none: the
        prompt has closed them, or nothing speaks of thoughts."""
        if self._thinking is None or self._are_closed(prompt):
            return None
        opened = self.answer(prompt, ())[0] is not None
        return self._thinking.end if opened or self._thinking.expected else None

    def after_thoughts(self, prompt: Sequence[int], thoughts: str | None, prefix: str = "") -> list[int]:
        """The prompt with thoughts, or with what is written where there are none, up to the answer's first word, and
        with the words `prefix` that the answer begins with."""
        begins = self._special_tokens.escape(prefix)
        if thoughts is not None:
            return self._thought(prompt, thoughts, lambda thinking: thinking.closing + begins)
        if self._thinking is not None and not self._are_closed(prompt):
            begins = self._thinking.heading + begins
        return [*prompt, *self._special_tokens.encode(begins)]

    def with_words(self, prompt: Sequence[int], words: str) -> list[int]:
        """The prompt with words with which the turn at its end begins."""
        return [*prompt, *self._special_tokens.encode(self._special_tokens.escape(words))]

    def begin_thoughts(self, prompt: Sequence[int], thoughts: str) -> list[int]:
        """The prompt with thoughts that are not at their end. Raises ChatTemplateError where the prompt leaves none."""
        return self._thought(prompt, thoughts, lambda thinking: "")

    def _thought(self, prompt: Sequence[int], thoughts: str, end: Callable[[Thinking], str]) -> list[int]:
        thinking = self._thinking
        if thinking is None or self._are_closed(prompt):
            raise ChatTemplateError("the chat template leaves no place for thoughts before this answer")
        opening = "" if self.answer(prompt, ())[0] is not None else thinking.opening
        return [*prompt, *self._special_tokens.encode(opening + self._special_tokens.escape(thoughts) + end(thinking))]

    def thoughts_of(self, prefix: str) -> tuple[str | None, str | None]:
        """The thoughts with which a given start of an answer begins, None without any, and what follows them, None
        where they are not closed."""
        start = self._reasoning.start if self._reasoning else ""
        if not start or not self._reasoning or not prefix.lstrip().startswith(start):
            return None, prefix
        thoughts, closed, rest = prefix.lstrip().removeprefix(self._reasoning.start).partition(self._reasoning.end)
        return thoughts.lstrip("\n"), rest.lstrip("\n") if closed else None

    def without_reasoning(self, text: str) -> str:
        """An assistant's earlier answer as later turns see it: without the thoughts that it begins with, if any."""
        if self._channels and text.lstrip().startswith(self._channels.opening):
            return self._channels.split(self._special_tokens.split(text))[1]
        if not self._reasoning or not text.lstrip().startswith(self._reasoning.start or self._reasoning.end):
            return text
        return self._reasoning.split(text)[1]

    def _closes_thoughts(self, rendered: str) -> bool:
        """Whether a rendered prompt has come as far as the answer's first word."""
        return self._are_closed(self._special_tokens.encode(self._probe.after_words(rendered)))

    def _opens_thoughts(self, rendered: str) -> bool:
        return self.answer(self._special_tokens.encode(self._probe.after_words(rendered)), ())[0] is not None

    def _text(self, token_ids: Sequence[int], left_out: set[int]) -> str:
        ids = [id for id in token_ids if id not in left_out]
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _generation_prompt(self, prompt: Sequence[int]) -> str:
        """A prompt's last words, from the last special token on, so that they are the template's and not a user's."""
        headings = {self._special_tokens.ids[text] for text in self._special_tokens.special} - self._tags
        ids = prompt[-_PROMPT_END:]
        after = max((n + 1 for n, id in enumerate(ids) if id in headings), default=0)
        return self._text(ids[after:], set())

    def _are_closed(self, prompt: Sequence[int]) -> bool:
        """Whether the generation prompt has come as far as the answer's first word."""
        if self._channels:
            return self._channels.opens_answer(self._stretches(prompt[-_PROMPT_END:]))
        return self._reasoning is not None and self._reasoning.closed_by(self._generation_prompt(prompt))

    def _stretches(self, token_ids: Sequence[int]) -> list[Stretch]:
        runs = itertools.groupby(token_ids, self._spellings.get)
        return [(spelling or self._text(list(run), set()), bool(spelling)) for spelling, run in runs]

    def _later_turn(self, escaped: list[dict[str, Any]]) -> str:
        if self._later is not None:
            return self._renderer.render(escaped, add_generation_prompt=False) + self._later
        try:
            return self._probe.before_user(escaped)
        except ChatTemplateError as error:
            raise ChatTemplateError(
                f"{error}; where later turns can't be derived, give model.later_pre_query"
            ) from error

    def _escaped(self, messages: Messages) -> list[dict[str, Any]]:
        """The messages as the renderer wants them. Says no to what a template would silently get wrong."""
        for message in messages:
            if message["role"] not in ROLES:
                raise ChatTemplateError(f"unknown role {message['role']!r}: it can be {', '.join(ROLES)}")
        if messages and messages[0]["role"] == "system" and messages[0].get("content") and not self._heeds_system:
            raise ChatTemplateError("the chat template leaves out system prompts: give none")
        if has_calls(messages):
            form = self._tool_form
            messages = in_words(messages, ()) if form is None else [form.apply(message) for message in messages]
        return [
            {key: value if key == "role" else self._mask(value) for key, value in message.items()}
            for message in messages
        ]

    def _mask(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._special_tokens.escape(value)
        if isinstance(value, list | tuple):
            return [self._mask(one) for one in value]
        if isinstance(value, dict):
            return {self._mask(key): self._mask(one) for key, one in value.items()}
        return value

    @cached_property
    def _tool_form(self) -> ToolForm | None:
        return self._probe.tool_form()

    @cached_property
    def _heeds_system(self) -> bool:
        return self._probe.heeds_system()

    def _end_of_answer(self, within: Collection[str]) -> Stop:
        for written in (self._probe.closing(), self._probe.between_answer_and_user()):
            if stop := stop_at(written, self._special_tokens, within):
                return stop
        return Stop()

    def _end_of_query(self, by_hand: Sequence[str] | None) -> Stop:
        if by_hand is not None:
            return stop_by_hand(by_hand, self._special_tokens)
        for written in (self._probe.after_user(), self._probe.between_user_and_answer()):
            if stop := stop_at(written, self._special_tokens):
                return stop
        raise ChatTemplateError(
            "the chat template writes nothing that ends a user's words: give model.query_stop, a list of strings"
        )

    def _derived_start(self) -> str:
        """A conversation's start by the template. Empty where there is none and one is given by hand, and where it has
        to be a system prompt."""
        if self._probe.needs_system:
            return ""
        try:
            start = self._probe.before_user([])
            reason = "the chat template starts with the user's words"
        except ChatTemplateError as error:
            start, reason = "", str(error)
        if not start.strip() and self._first is None:
            raise ChatTemplateError(
                f"no pre-query prompt can be derived: {reason}; give model.pre_query, "
                "all text up to the user's first words, and model.query_stop, strings that end them"
            )
        return start

    def _without_default(self, eos: Stop) -> str:
        closing, after_answer = self._probe.closing(), self._probe.between_answer_and_user()
        if not self._start or after_answer in ("", closing):
            return self._start  # there is nothing to take it out of, or no later turn to learn from
        ends = [text for text, id in self._special_tokens.ids.items() if id in eos.token_ids]
        around = after_answer, closing, self._probe.after_user()
        start = without_default(self._start, *around, self._special_tokens, self._tokenizer.bos_token, ends)
        if start is None or not self._probe.goes_on_from(self._start):
            raise ChatTemplateError(
                "can't tell the chat template's default system prompt from its headings: "
                "set model.default_system_prompt=keep, or use a template without one by model.chat_template"
            )
        return start


def _own_template(tokenizer: Any) -> str:
    try:
        return str(tokenizer.get_chat_template())
    except (ValueError, NotImplementedError) as error:
        named = getattr(tokenizer, "chat_template", None)
        what = f"has chat templates {', '.join(named)} and no default" if named else "has no chat template"
        raise ChatTemplateError(f"the tokenizer {what}: give model.chat_template, a Jinja file") from error
