"""One row of a batch: its prompt, what it has said, when it ends, and how the next token of many rows is drawn.

Promises: a row draws one number per token from a generator of its own and nothing from anywhere else, so what it says
does not depend on its neighbours, as far as its logits don't. Penalties and filters come in vLLM's order and mean
the same: penalties, temperature, min_p, top_k, top_p.

Knows nothing of models.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence, Set

import torch

from synth.engines import WATCHED_EVERY, FinishReason, Sampling, Watch

Decode = Callable[[list[int]], str]


class Row:
    """Ends with finish_reason `stop`, `length` or `abort`, and is None until then; `said` then has no stop token in it.

    With `choices`, token ids each, it says one of these. `watch` may end it (see Generator).
    """

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        room: int,
        eos: Set[int],
        decode: Decode,
        choices: Sequence[Sequence[int]] = (),
        watch: Watch | None = None,
    ):
        self.prompt, self.sampling = list(prompt), sampling
        self.said: list[int] = []
        self.text: str | None = None
        self.finish_reason: FinishReason | None = None
        self.rng = random.Random(sampling.seed)
        self.logprobs: list[float] = []  # of its tokens and of the one that ended it, where they are asked for
        self._most = min(sampling.max_tokens, room)
        self._stop_ids = {*sampling.stop_token_ids, *eos}
        self._decode = decode
        self._choices = [list(choice) for choice in choices]
        self._watch = watch

    @property
    def allowed(self) -> list[int] | None:
        """The tokens that may come next; None for all."""
        if not self._choices:
            return None
        here = len(self.said)
        begun = [choice for choice in self._choices if choice[:here] == self.said]
        ends = self._stop_ids if self.said in begun else set()
        return sorted({choice[here] for choice in begun if len(choice) > here} | ends)

    @property
    def logprob(self) -> float | None:
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None

    @property
    def left(self) -> int:
        return self._most - len(self.said)

    def say(self, token: int) -> None:
        if token in self._stop_ids:
            self.finish_reason = "stop"
        else:
            self.said.append(token)
            # One that is said whole, and is the beginning of no other, is over.
            if self._ends_with_stop_string() or (
                self.said in self._choices and self._stop_ids.issuperset(self.allowed or ())
            ):
                self.finish_reason = "stop"
            elif not self.left:
                self.finish_reason = "length"
            elif self._watch and len(self.said) % WATCHED_EVERY == 0 and self._watch(self.said):
                self.finish_reason = "abort"
        if self.finish_reason and self.sampling.stop:
            text = self._decode(self.said)
            ends = [found for stop in self.sampling.stop if (found := text.find(stop)) >= 0]
            self.text = text[: min(ends)] if ends else text

    def _ends_with_stop_string(self) -> bool:
        if not self.sampling.stop:
            return False
        # A token may be as little as a byte, and the last ones the beginning of a character.
        tail = self._decode(self.said[-max(len(stop.encode()) for stop in self.sampling.stop) - 4 :])
        return any(stop in tail for stop in self.sampling.stop)


def draw(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """A token id for each row. `logits` are float32, [rows, vocabulary], and are changed."""
    samplings = [row.sampling for row in rows]
    for row, scores in zip(rows, logits, strict=True):
        _penalize(scores, row)
        if allowed := row.allowed:
            kept = scores[allowed]
            scores.fill_(-torch.inf)
            scores[allowed] = kept
    greedy: list[int] = logits.argmax(-1).tolist()
    if not any(sampling.temperature for sampling in samplings):
        return greedy

    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits.device)[:, None]

    logits /= column([sampling.temperature or 1.0 for sampling in samplings])
    if any(sampling.min_p for sampling in samplings):
        least = logits.max(-1, keepdim=True).values + column([sampling.min_p for sampling in samplings]).log()
        logits.masked_fill_(logits < least, -torch.inf)
    if any(sampling.top_k or sampling.top_p < 1 for sampling in samplings):
        _keep_top(logits, [one.top_k for one in samplings], column([one.top_p for one in samplings]))
    # Borders stand in the order of ids, where a rounding error moves one a little; in the order of probabilities it
    # would swap two neighbours. Drawn above 0 and up to the whole, so never a token that has no probability.
    borders = logits.softmax(-1).cumsum(-1)
    shares = column([1.0 - row.rng.random() if row.sampling.temperature else 1.0 for row in rows])
    drawn = torch.searchsorted(borders, shares * borders[:, -1:])[:, 0].tolist()
    return [
        token if sampling.temperature else likeliest
        for token, likeliest, sampling in zip(drawn, greedy, samplings, strict=True)
    ]


def _penalize(scores: torch.Tensor, row: Row) -> None:
    sampling = row.sampling
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*row.prompt, *row.said}), device=scores.device)
        score, penalty = scores[seen], sampling.repetition_penalty
        scores[seen] = torch.where(score > 0, score / penalty, score * penalty)
    if row.said and (sampling.frequency_penalty or sampling.presence_penalty):
        counts = Counter(row.said)
        times = torch.tensor(list(counts.values()), dtype=scores.dtype, device=scores.device)
        said = torch.tensor(list(counts), device=scores.device)
        scores[said] -= sampling.frequency_penalty * times + sampling.presence_penalty


def _keep_top(logits: torch.Tensor, top_k: Sequence[int], top_p: torch.Tensor) -> None:
    """Of each row, its `top_k` likeliest tokens (0: all), and of these the fewest that have `top_p` in sum."""
    vocabulary = logits.shape[-1]
    scores, order = logits.sort(dim=-1, descending=True, stable=True)
    most = torch.tensor([k or vocabulary for k in top_k], device=logits.device)[:, None]
    scores.masked_fill_(torch.arange(vocabulary, device=logits.device) >= most, -torch.inf)
    probabilities = scores.softmax(-1)
    outside = probabilities.cumsum(-1) - probabilities >= top_p
    outside[:, 0] = False
    scores.masked_fill_(outside & (top_p < 1), -torch.inf)
    logits.scatter_(-1, order, scores)
