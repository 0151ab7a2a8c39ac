"""Where the reasoning ends and the answer begins, for structured output, which is constrained from its first token on.

Such an answer contains no reasoning. So a thinking model is called twice: first it thinks, without a constraint, up to
`end`; then it continues after the reasoning, closed as in its template, with the answer only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from synth.chat.channels import Channels
from synth.chat.probe import THOUGHTS, Probe
from synth.chat.special_tokens import SpecialTokens
from synth.chat.stops import Stop, stop_at
from synth.chat.tags import DEFAULT

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Thinking:
    """The text around reasoning, and its end. `heading` is written before an answer without any.

    `expected` is false if nothing in template or tokenizer indicates reasoning.
    """

    opening: str
    closing: str
    heading: str
    end: Stop
    expected: bool

    @classmethod
    def read(
        cls,
        probe: Probe,
        special_tokens: SpecialTokens,
        channels: Channels | None,
        tags: tuple[str, str] | None,
        variables: Mapping[str, Any] = _NOTHING,
    ) -> "Thinking | None":
        """None for a model whose answers are taken as they are, and for channels whose reasoning no template shows.
        `variables` are those that switch thinking on."""
        opening, shown, closing = probe.before_answer(thinks=True, variables=variables).partition(THOUGHTS)
        heading = probe.before_answer(thinks=False, variables=variables)
        if channels:
            return cls(opening, closing, heading, stop_at(closing, special_tokens), True) if shown else None
        if tags is None:
            return None
        start, end = tags
        if not (shown and end in closing):
            opening, closing = f"{start}\n" if start else "", f"\n{end}\n\n"
        stop = Stop((special_tokens.ids[end],)) if end in special_tokens.ids else Stop(strings=(end,))
        return cls(opening, closing, heading, stop, bool(shown) or tags != DEFAULT or end in special_tokens.ids)
