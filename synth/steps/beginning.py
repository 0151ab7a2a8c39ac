"""Early stopping: checks a partial answer and decides whether generation ends there.

It ends if the answer loops (synth/engines/repetition.py), or if a later filter is certain to reject the record whatever
follows. So the kept rows are the same as without. If an engine can't be stopped, the finished answer is checked for
loops: the same answers loop on every engine.

Filters run after 32 tokens, and then each time the answer has grown by a quarter, so that their cost is linear in the
length of an answer, not quadratic.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synth.engines import WATCHED_EVERY, Answer, Sampling
from synth.engines.repetition import REPETITION, LoopFinder
from synth.records import Record, Rejection

log = logging.getLogger(__name__)

Foresee = Callable[[Record, int], "Doomed | None"]  # of a record whose last text may grow by so many tokens
Draft = Callable[[str], Record]  # the record with a partial answer


class Doomed(Rejection):
    """A rejection by a later step, which the record has not reached."""

    def __init__(self, by: str, why: Rejection):
        super().__init__(why.reason, why.detail)
        self.by = by


@dataclass(frozen=True)
class Prospect:
    """What filters need of the record that an answer is for. `read` gives the part of the text that can't change."""

    draft: Draft
    foresee: Foresee
    read: Callable[[Sequence[int], str | None], str]
    most: int  # tokens of the answer

    def doom(self, token_ids: Sequence[int], text: str | None) -> Doomed | None:
        try:
            record = self.draft(self.read(token_ids, text))
            doom = self.foresee(record, self.most - len(token_ids))
        except Exception:  # the step will meet it with the whole answer
            log.debug("a partial answer can't be checked", exc_info=True)
            return None
        if doom:
            doom.record = record | {"finish_reason": "abort"}
        return doom


class Beginning:
    """The watch of one request (see Generator). `doom` is the rejection of its record, None if it goes on."""

    def __init__(self, sampling: Sampling, prospect: Prospect | None = None):
        detection = sampling.repetition_detection
        self._loop = LoopFinder(detection) if detection else None
        self._prospect, self._next_look = prospect, WATCHED_EVERY
        self.doom: Doomed | None = None

    @property
    def is_watched(self) -> bool:
        return self._loop is not None or self._prospect is not None

    def __call__(self, token_ids: Sequence[int], text: str | None = None) -> bool:
        if self._loop and self._loop.read(token_ids) is not None:
            return True
        if self._prospect and len(token_ids) >= self._next_look:
            self._next_look = len(token_ids) * 5 // 4
            self.doom = self._prospect.doom(token_ids, text)
        return self.doom is not None

    def ended(self, answer: Answer) -> Answer:
        """The answer up to its loop; usage counts all of its tokens."""
        end = self._loop.read(answer.token_ids) if self._loop else None
        if end is None:
            return answer
        written = answer.completion_tokens
        return replace(
            answer, token_ids=answer.token_ids[:end], finish_reason=REPETITION, text=None, logprob=None, counted=written
        )
