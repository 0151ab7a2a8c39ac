"""Answers in channels: a model that labels its output, so that the answer is distinguished from the reasoning.

In gpt-oss's format, Harmony, a model continues `<|start|>assistant` with
`<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>`. The syntax of
labels, and the answer's label, are derived from what a chat template has the model write before an answer; there is no
table of formats.

Promises: the answer is the content of the answer's channel only; all other channels are reasoning. If max_tokens cut
the output before that channel, there is no answer.

Works on stretches, (a control token's spelling, True) or (text, False), so that text that spells a control token stays
text. No token ids.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synth.chat.probe import THOUGHTS
from synth.chat.special_tokens import SpecialTokens

Stretch = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class Channels:
    """A channel's name stands between the control tokens `opening` and `body`; `answer` is the answer's name.

    `within` are all control tokens that a model writes before its answer: none of them may end the generation.
    """

    opening: str
    body: str
    answer: str
    within: frozenset[str] = frozenset()

    @classmethod
    def read(cls, before_answer: str, special_tokens: SpecialTokens, prompt: str = "") -> "Channels | None":
        """The format derived from `before_answer`, what a model itself writes before an answer; None if it names no
        channel. The name may begin in the `prompt`: `<|start|>assistant` before ` to=user<|message|>`."""
        stretches = [
            (text.strip(), is_control) for text, is_control in special_tokens.split(before_answer) if text.strip()
        ]
        within = frozenset(text for text, is_control in stretches if is_control)
        match stretches, list(special_tokens.split(prompt))[-2:]:
            case [(_, False), (_, True)], [(opening, True), (begun, False)]:
                whole = special_tokens.split(opening + begun + before_answer)
                stretches = [(text.strip(), is_control) for text, is_control in whole if text.strip()]
                within |= {opening}
        match stretches[-3:]:
            case [(opening, True), (name, False), (body, True)] if {opening, body} <= special_tokens.special:
                return None if THOUGHTS in name else cls(opening, body, name, within)
        return None

    def split(self, output: Iterable[Stretch], prompt_end: Sequence[Stretch] = ()) -> tuple[str | None, str]:
        """The reasoning (None without any) and the answer. `prompt_end` is the text before the output."""
        thoughts: list[str] = []
        answer: list[str] = []
        for name, body in self._bodies([*self._left_open(prompt_end), *output]):
            (answer if self._is_answers(name) else thoughts).append(body.strip())
        return "\n\n".join(thoughts) if thoughts else None, "\n\n".join(answer)

    def opens_answer(self, prompt_end: Sequence[Stretch]) -> bool:
        """Whether a generation prompt ends in the heading of the answer's channel."""
        names = [name for name, _ in self._bodies(self._left_open(prompt_end))]
        return len(names) == 1 and self._is_answers(names[0])

    def _is_answers(self, name: str) -> bool:
        """A name may be followed by attributes of the channel: `final json`."""
        return name == self.answer or name.startswith(f"{self.answer} ")

    def _bodies(self, stretches: Iterable[Stretch]) -> list[tuple[str, str]]:
        """Each channel's name with its attributes (`commentary to=functions.search`), and its content."""
        bodies: list[tuple[str, str]] = []
        heading: str | None = None
        inside = False
        for text, is_control in stretches:
            if not is_control:
                if heading is not None:
                    heading += text
                elif inside:
                    name, body = bodies[-1]
                    bodies[-1] = name, body + text
            elif text == self.opening:
                heading, inside = "", False
            elif heading is None:
                inside = False  # any control token ends the body
            elif text == self.body:
                bodies.append((heading.strip(), ""))
                heading, inside = None, True
        return bodies

    def _left_open(self, prompt_end: Sequence[Stretch]) -> Sequence[Stretch]:
        """The heading of a channel that the generation prompt opens."""
        opened = [n for n, stretch in enumerate(prompt_end) if stretch == (self.opening, True)]
        rest = prompt_end[opened[-1] :] if opened else []
        controls = [text for text, is_control in rest if is_control]
        return rest if controls in ([self.opening], [self.opening, self.body]) else []
