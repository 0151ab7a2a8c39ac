"""What a thinking model thinks, told from what it answers.

Promises: thoughts are never part of an answer, whether the model opens them or the chat template's generation prompt
has, and where max_tokens cut them there is no answer at all. Tags inside an answer, as where it speaks about them,
stay in it. Where a model that has thought puts tags around its whole answer too (`<answer>`, `<response>`), the
answer is what stands between them.

Works on text. Knows nothing of token ids: that special tokens are in the text is the caller's business.
"""

import re
from dataclasses import dataclass

_WRAPPED = re.compile(r"<(answer|response)>((?:(?!</\1>).)*)(?:</\1>)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The two texts between which a model thinks. With `is_token`, a model's `end` is a token, not words. Without a
    `start`, it thinks first in any case. `around` may stand around its answer."""

    start: str = "<think>"
    end: str = "</think>"
    is_token: bool = False
    around: tuple[str, str] | None = None

    def split(self, text: str, prompt_end: str = "") -> tuple[str | None, str]:
        """An answer's thoughts (None without any) and the rest. `prompt_end` are the last words before it."""
        before, opened, after = text.partition(self.start) if self.start else ("", "", text)
        opens_itself = bool(opened) and not before.strip()
        opened_for_it = prompt_end.rstrip().endswith(self.start) and not self.closed_by(prompt_end)
        # Some models end thoughts that nobody opened. Where the prompt has closed them, they are over.
        ends_only = self.is_token and self.end in before and self.end not in prompt_end
        if not (opens_itself or opened_for_it or ends_only):
            return None, text.strip()
        thoughts, _, answer = (after if opens_itself else text).partition(self.end)
        return thoughts.strip(), self.said(answer)

    def said(self, answer: str) -> str:
        """What follows thoughts, without what may stand around it."""
        answer = answer.strip()
        if self.around:
            answer = answer.removeprefix(self.around[0]).removesuffix(self.around[1])
        wrapped = _WRAPPED.fullmatch(answer)
        return (wrapped[2] if wrapped else answer).strip()

    def closed_by(self, prompt_end: str) -> bool:
        """Whether a prompt has ended the thoughts, so that an answer follows."""
        return prompt_end.rstrip().endswith(self.end)
