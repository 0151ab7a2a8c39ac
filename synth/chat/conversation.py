"""Conversations to token ids: the prompt of an answer, and the prompt of a user's next turn.

Promises: `encode` returns the ids of the tokenizer's own `apply_chat_template`, except that no content becomes a
control token. `pre_query` returns everything that the template writes before the user's next turn, for the first turn
and for later ones, with and without a system prompt: Magpie draws instructions from it. Neither adds a token, such as
BOS, that the template does not write.

A space at the end of a pre-query prompt is kept, as in Mistral's `<s>[INST] `, although some tokenizers would merge it
with the first word; `model.pre_query` can set the prompt without it.

Knows nothing of records, samplings or engines.
"""

import itertools
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, Literal

from synth.chat.channels import Channels, Stretch
from synth.chat.probe import Probe
from synth.chat.reasoning import Reasoning
from synth.chat.rendering import ChatTemplateError, Renderer, own_template
from synth.chat.special_tokens import SpecialTokens
from synth.chat.stops import Stop, stop_at, stop_at_ids
from synth.chat.switch import ON, Switch, settings, tried
from synth.chat.tags import DEFAULT, Marks, thinking_marks
from synth.chat.thinking import Thinking
from synth.chat.tool_calls import ToolForm, Tools, in_words
from synth.chat.user_turn import UserTurn
from synth.tool_calls import has_calls

Messages = Sequence[dict[str, Any]]

_PROMPT_END = 64  # tokens: enough for a generation prompt, even with a tiny vocabulary

# Roles stand next to control tokens, in templates like `'<|' + role + '|>'`, so they can't be arbitrary.
ROLES = ("system", "developer", "user", "assistant", "tool")


class ChatTemplate:
    """A tokenizer with its chat template, or with another one given as `chat_template`.

    `default_system_prompt` is about the system prompt that some templates insert if a conversation has none. It affects
    user turns only: with `drop`, `pre_query` starts with the user's heading, so that instructions are drawn without a
    system prompt. `encode` always follows the template, because that is how the model is used. A conversation with its
    own system prompt is left to the template.

    `pre_query` (for the start of a conversation), `later_pre_query` (to follow the conversation so far, as rendered by
    the template) and `query_stop` replace what can't be derived; control tokens may be spelled in them. `pre_query`
    does not help a conversation that starts with a system prompt.

    `reasoning` are the two texts around a model's reasoning; `auto` derives from template and tokenizer how reasoning
    is marked, by channels or by such texts; None takes answers as they are.

    If no pre-query prompt or no end of a user's turn can be derived and none is given, `pre_query` raises
    ChatTemplateError, and everything else works.
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
        source = chat_template or own_template(tokenizer)
        self._tokenizer = tokenizer
        self._special_tokens = SpecialTokens(tokenizer)
        variables = {**tokenizer.special_tokens_map, **(template_kwargs or {})}
        self._renderer = Renderer(source, variables, self._special_tokens)
        self._probe = Probe(self._renderer)

        eos = stop_at_ids([tokenizer.eos_token_id, *generation_eos])
        before_answer = self._probe.before_answer(thinks=True) or self._probe.before_answer(thinks=False)
        channels = Channels.read(before_answer, self._special_tokens, self._probe.after_user())
        self.response_stop: Stop = self._end_of_answer(channels.within if channels else ()) | eos
        self._user_turn = UserTurn(
            self._renderer,
            self._probe,
            self._special_tokens,
            bos=tokenizer.bos_token,
            eos=eos,
            keeps_default=default_system_prompt == "keep",
            first=pre_query,
            later=later_pre_query,
            stop=query_stop,
        )
        self.query_stop: Stop = self._user_turn.stop
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
        written = [part for tag in tags or () for part in self._special_tokens.split(tag)]
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
        """The prompt of an answer; `thinking` sets the model's mode of thinking, None: the template's default. `tools`
        are specifications of tools that it may call, in OpenAI's format.

        Raises ChatTemplateError if the template refuses the conversation, or has no such mode.
        """
        setting = self._switch.setting(thinking)
        if tools and self._tool_form is None:
            messages, tools = in_words(messages, tools, with_system=self._probe.takes_system), ()
        variables = {**setting.variables, **({"tools": self._special_tokens.escape_all(tools)} if tools else {})}
        written = setting.under(self._escaped(messages))
        return self._special_tokens.encode(self._renderer.render(written, add_generation_prompt, variables))

    def plain(self, text: str) -> list[int]:
        """The ids of a text without the template, after the token with which the tokenizer begins every text, if
        any."""
        bos = self._tokenizer.bos_token_id
        begins = bos is not None and list(self._tokenizer("")["input_ids"])[:1] == [bos]
        return [*([bos] if begins else []), *self._special_tokens.encode(self._special_tokens.escape(text))]

    @property
    def takes_tools(self) -> bool:
        """Whether the chat template supports tools and their calls; else they are described in text."""
        return self._tool_form is not None

    def unwrapped(self, answer: str) -> str:
        """The answer after the reasoning, without what a model puts around it."""
        return self._reasoning.unwrapped(answer) if self._reasoning else answer.strip()

    def check_thinking(self, thinking: str) -> None:
        """Raises ChatTemplateError, in one line, if the template has no such mode of thinking."""
        self._switch.setting(thinking)

    def pre_query(self, messages: Messages = ()) -> list[int]:
        """The prompt of the user's next turn, after `messages`: nothing, a system prompt, or complete turns.

        Raises ChatTemplateError.
        """
        if self._user_turn.error is not None:
            raise self._user_turn.error
        return self._special_tokens.encode(self._user_turn.prompt(self._escaped(messages)))

    @property
    def needs_system(self) -> bool:
        """Whether it refuses conversations without a system prompt."""
        return self._probe.needs_system

    def spelled(self, token_ids: Sequence[int]) -> str:
        """A prompt as text, with its control tokens."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def decode(self, token_ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """The text of `token_ids`, without special tokens. For many tokenizers a space at its beginning is one only
        `after` other tokens."""
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
        """A model's reasoning, None without any, and its answer. `text` is the engine's, cut at `stop`. `begun` is the
        beginning of the output, between prompt and `token_ids`."""
        if self._channels:
            output = [*begun, *token_ids]
            thoughts, answer = self._channels.split(self._stretches(output), self._stretches(prompt[-_PROMPT_END:]))
            for end in stop:
                answer = answer.partition(end)[0]
            return thoughts, answer.strip()
        if text is None or not self._tags.isdisjoint(token_ids):  # an engine may have dropped the tags
            text = self._text(token_ids, self._not_text - self._tags)
            for end in stop:
                text = text.partition(end)[0]
        text = self._text(begun, self._not_text - self._tags) + text
        if not self._reasoning:
            return None, text.strip()
        return self._reasoning.split(text, self._generation_prompt(prompt))

    def thinks(self, prompt: Sequence[int]) -> Stop | None:
        """The stop at the end of the reasoning with which the model may begin its answer. None if there can be none:
        the prompt has closed it, or nothing indicates reasoning."""
        if self._thinking is None or self._are_closed(prompt):
            return None
        opened = self.answer(prompt, ())[0] is not None
        return self._thinking.end if opened or self._thinking.expected else None

    def after_thoughts(self, prompt: Sequence[int], thoughts: str | None, prefix: str = "") -> list[int]:
        """The prompt with reasoning, or the template's text for none, up to the answer's first word, and with the
        prefix of the answer."""
        begins = self._special_tokens.escape(prefix)
        if thoughts is not None:
            return self._thought(prompt, thoughts, lambda thinking: thinking.closing + begins)
        if self._thinking is not None and not self._are_closed(prompt):
            begins = self._thinking.heading + begins
        return [*prompt, *self._special_tokens.encode(begins)]

    def with_words(self, prompt: Sequence[int], words: str) -> list[int]:
        """The prompt with words that begin the turn at its end."""
        return [*prompt, *self._special_tokens.encode(self._special_tokens.escape(words))]

    def begin_thoughts(self, prompt: Sequence[int], thoughts: str) -> list[int]:
        """The prompt with incomplete reasoning. Raises ChatTemplateError if the prompt has closed it."""
        return self._thought(prompt, thoughts, lambda thinking: "")

    def _thought(self, prompt: Sequence[int], thoughts: str, end: Callable[[Thinking], str]) -> list[int]:
        thinking = self._thinking
        if thinking is None or self._are_closed(prompt):
            raise ChatTemplateError("the chat template leaves no place for reasoning before this answer")
        opening = "" if self.answer(prompt, ())[0] is not None else thinking.opening
        return [*prompt, *self._special_tokens.encode(opening + self._special_tokens.escape(thoughts) + end(thinking))]

    def thoughts_of(self, prefix: str) -> tuple[str | None, str | None]:
        """The reasoning with which a prefix begins, None without any, and the text after it, None if it is not
        closed."""
        start = self._reasoning.start if self._reasoning else ""
        if not start or not self._reasoning or not prefix.lstrip().startswith(start):
            return None, prefix
        thoughts, closed, rest = prefix.lstrip().removeprefix(self._reasoning.start).partition(self._reasoning.end)
        return thoughts.lstrip("\n"), rest.lstrip("\n") if closed else None

    def without_reasoning(self, text: str) -> str:
        """An earlier answer as in later turns: without its reasoning, if any."""
        if self._channels and text.lstrip().startswith(self._channels.opening):
            return self._channels.split(self._special_tokens.split(text))[1]
        if not self._reasoning or not text.lstrip().startswith(self._reasoning.start or self._reasoning.end):
            return text
        return self._reasoning.split(text)[1]

    def _closes_thoughts(self, rendered: str) -> bool:
        """Whether a rendered prompt ends right before the answer's first word."""
        return self._are_closed(self._special_tokens.encode(self._probe.after_words(rendered)))

    def _opens_thoughts(self, rendered: str) -> bool:
        return self.answer(self._special_tokens.encode(self._probe.after_words(rendered)), ())[0] is not None

    def _text(self, token_ids: Sequence[int], left_out: set[int]) -> str:
        ids = [id for id in token_ids if id not in left_out]
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _generation_prompt(self, prompt: Sequence[int]) -> str:
        """The end of a prompt from its last special token on: the template's text, not a user's."""
        headings = {self._special_tokens.ids[text] for text in self._special_tokens.special} - self._tags
        ids = prompt[-_PROMPT_END:]
        after = max((n + 1 for n, id in enumerate(ids) if id in headings), default=0)
        return self._text(ids[after:], set())

    def _are_closed(self, prompt: Sequence[int]) -> bool:
        """Whether the generation prompt ends right before the answer's first word."""
        if self._channels:
            return self._channels.opens_answer(self._stretches(prompt[-_PROMPT_END:]))
        return self._reasoning is not None and self._reasoning.closed_by(self._generation_prompt(prompt))

    def _stretches(self, token_ids: Sequence[int]) -> list[Stretch]:
        runs = itertools.groupby(token_ids, self._spellings.get)
        return [(spelling or self._text(list(run), set()), bool(spelling)) for spelling, run in runs]

    def _escaped(self, messages: Messages) -> list[dict[str, Any]]:
        """The messages as the renderer takes them. Refuses what a template would silently get wrong."""
        for message in messages:
            if message["role"] not in ROLES:
                raise ChatTemplateError(f"unknown role {message['role']!r}; choose from {', '.join(ROLES)}")
        if messages and messages[0]["role"] == "system" and messages[0].get("content") and not self._heeds_system:
            raise ChatTemplateError("the chat template ignores system prompts; leave them out")
        if has_calls(messages):
            form = self._tool_form
            messages = in_words(messages, ()) if form is None else [form.apply(message) for message in messages]
        return [
            {key: value if key == "role" else self._special_tokens.escape_all(value) for key, value in message.items()}
            for message in messages
        ]

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
