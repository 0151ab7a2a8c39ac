"""A filter of your own: rejects answers with unwanted phrases. strategy/own_filter.yaml has it in a chain."""

from dataclasses import dataclass

from synth import Rejection


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Rejects a record whose response has one of `phrases`, whatever the case."""

    phrases: tuple[str, ...] = ("as an ai", "language model")

    is_filter = True  # it returns each record as it came, or rejects it
    rejections = ("unwanted_phrase",)

    def needs(self):
        return [("response",)]

    def __call__(self, record, llm):
        return self.doomed(record, 0) or record

    def doomed(self, record, left):
        """Asked while the answer is still written, with at most `left` tokens to come: a phrase that is there stays."""
        text = (record["response"] or "").casefold()
        found = next((phrase for phrase in self.phrases if phrase in text), None)
        return Rejection("unwanted_phrase", found) if found else None
