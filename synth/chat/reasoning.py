"""Separates a thinking model's reasoning from its answer.

Promises: reasoning is never part of an answer, whether the model or the generation prompt opens it, and if max_tokens
cut it there is no answer. Tags inside an answer, for example if it is about them, are kept. If a thinking model also
puts tags around its whole answer (`<answer>`, `<response>`), the answer is the text between them.

Works on text; the caller provides special tokens as text.
"""

import re
from dataclasses import dataclass

_WRAPPED = re.compile(r"<(answer|response)>((?:(?!</\1>).)*)(?:</\1>)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The two texts around the reasoning. With `is_token`, a model's `end` is a token, not plain text. Without a
    `start`, the model always begins with reasoning. `around` may enclose its answer."""

    start: str = "<think>"
    end: str = "</think>"
    is_token: bool = False
    around: tuple[str, str] | None = None

    def split(self, text: str, prompt_end: str = "") -> tuple[str | None, str]:
        """The reasoning (None without any) and the answer. `prompt_end` is the last text before the output."""
        before, opened, after = text.partition(self.start) if self.start else ("", "", text)
        opens_itself = bool(opened) and not before.strip()
        opened_for_it = prompt_end.rstrip().endswith(self.start) and not self.closed_by(prompt_end)
        # Some models close reasoning that was never opened. If the prompt has closed it, it is over.
        ends_only = self.is_token and self.end in before and self.end not in prompt_end
        if not (opens_itself or opened_for_it or ends_only):
            return None, text.strip()
        thoughts, _, answer = (after if opens_itself else text).partition(self.end)
        return thoughts.strip(), self.unwrapped(answer)

    def unwrapped(self, answer: str) -> str:
        """The answer after the reasoning, without an enclosing pair."""
        answer = answer.strip()
        if self.around:
            answer = answer.removeprefix(self.around[0]).removesuffix(self.around[1])
        wrapped = _WRAPPED.fullmatch(answer)
        return (wrapped[2] if wrapped else answer).strip()

    def closed_by(self, prompt_end: str) -> bool:
        """Whether a prompt has closed the reasoning, so that an answer follows."""
        return prompt_end.rstrip().endswith(self.end)
