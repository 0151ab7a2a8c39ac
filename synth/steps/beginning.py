"""The beginning of an answer, looked at while the rest is written: whether the answer is to end there.

It is where it goes round in circles (synth/engines/repetition.py), and where a filter further down the chain is certain
to reject its record, whatever follows. So the rows that are kept are the same as without. An engine that can't be
stopped is looked at for loops when its answer has come: the same answers loop on every engine.

Filters are asked after 32 tokens, and then after a quarter more each time, so that what they take grows with an
answer's length and not with its square.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synth.engines import WATCHED_EVERY, Answer, Sampling
from synth.engines.repetition import REPETITION, LoopFinder
from synth.records import Record, Rejection

log = logging.getLogger(__name__)

Foresee = Callable[[Record, int], "Doomed | None"]  # of a record whose last text may have so many tokens more
Draft = Callable[[str], Record]  # what the record is with so much of the answer


class Doomed(Rejection):
    """A rejection by a step that the record has not come to."""

    def __init__(self, by: str, why: Rejection):
        super().__init__(why.reason, why.detail)
        self.by = by


@dataclass(frozen=True)
class Prospect:
    """What is known of the record that an answer is for. `read` gives the text of token ids as far as it stays so."""

    draft: Draft
    foresee: Foresee
    read: Callable[[Sequence[int], str | None], str]
    most: int  # tokens of the answer

    def doom(self, token_ids: Sequence[int], text: str | None) -> Doomed | None:
        try:
            record = self.draft(self.read(token_ids, text))
            doom = self.foresee(record, self.most - len(token_ids))
        except Exception:  # whatever it is, the step will meet it with the whole answer
            log.debug("the beginning of an answer can't be judged", exc_info=True)
            return None
        if doom:
            doom.record = record | {"finish_reason": "abort"}
        return doom


class Beginning:
    """The watch of one request (see Generator). `doom` is why its record is rejected, None where it goes on."""

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
        """The answer as far as it does not loop; all of its tokens were written, and are counted."""
        end = self._loop.read(answer.token_ids) if self._loop else None
        if end is None:
            return answer
        written = answer.completion_tokens
        return replace(
            answer, token_ids=answer.token_ids[:end], finish_reason=REPETITION, text=None, logprob=None, counted=written
        )
