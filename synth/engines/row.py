"""One row of a batch: its prompt, its tokens, its end; and sampling of the next token for many rows.

Promises: a row draws one number per token from its own generator and nothing from elsewhere, so its tokens don't depend
on its neighbours, except through its logits. Penalties and filters have vLLM's order and meaning: penalties,
temperature, min_p, top_k, top_p.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence, Set

import torch

from synth.engines import WATCHED_EVERY, FinishReason, Sampling, Watch

Decode = Callable[[list[int]], str]


class Row:
    """Its finish_reason is `stop`, `length` or `abort` at the end, and None before; stop tokens are removed from
    `token_ids`.

    With `choices`, each a list of token ids, the output is one of these. `watch` may end it (see Generator).
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
        self.token_ids: list[int] = []
        self.text: str | None = None
        self.finish_reason: FinishReason | None = None
        self.rng = random.Random(sampling.seed)
        self.logprobs: list[float] = []  # of its tokens and the one that ended it, if requested
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
        here = len(self.token_ids)
        begun = [choice for choice in self._choices if choice[:here] == self.token_ids]
        ends = self._stop_ids if self.token_ids in begun else set()
        return sorted({choice[here] for choice in begun if len(choice) > here} | ends)

    @property
    def logprob(self) -> float | None:
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else None

    @property
    def left(self) -> int:
        return self._most - len(self.token_ids)

    def append(self, token: int) -> None:
        if token in self._stop_ids:
            self.finish_reason = "stop"
        else:
            self.token_ids.append(token)
            # A complete choice that is no prefix of another one ends the row.
            if self._ends_with_stop_string() or (
                self.token_ids in self._choices and self._stop_ids.issuperset(self.allowed or ())
            ):
                self.finish_reason = "stop"
            elif not self.left:
                self.finish_reason = "length"
            elif self._watch and len(self.token_ids) % WATCHED_EVERY == 0 and self._watch(self.token_ids):
                self.finish_reason = "abort"
        if self.finish_reason and self.sampling.stop:
            text = self._decode(self.token_ids)
            ends = [found for stop in self.sampling.stop if (found := text.find(stop)) >= 0]
            self.text = text[: min(ends)] if ends else text

    def _ends_with_stop_string(self) -> bool:
        if not self.sampling.stop:
            return False
        # A token may be a single byte, and the last tokens an incomplete character.
        tail = self._decode(self.token_ids[-max(len(stop.encode()) for stop in self.sampling.stop) - 4 :])
        return any(stop in tail for stop in self.sampling.stop)


def draw(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """A token id for each row. `logits` are float32, [rows, vocabulary], and are modified."""
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
        _keep_top(
            logits, [sampling.top_k for sampling in samplings], column([sampling.top_p for sampling in samplings])
        )
    # Cumulative in the order of ids, where a rounding error hardly moves a border; in the order of probabilities it
    # would swap two neighbours. Numbers are above 0, so a token of probability 0 is never drawn.
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
        seen = torch.tensor(sorted({*row.prompt, *row.token_ids}), device=scores.device)
        score, penalty = scores[seen], sampling.repetition_penalty
        scores[seen] = torch.where(score > 0, score / penalty, score * penalty)
    if row.token_ids and (sampling.frequency_penalty or sampling.presence_penalty):
        counts = Counter(row.token_ids)
        times = torch.tensor(list(counts.values()), dtype=scores.dtype, device=scores.device)
        seen_ids = torch.tensor(list(counts), device=scores.device)
        scores[seen_ids] -= sampling.frequency_penalty * times + sampling.presence_penalty


def _keep_top(logits: torch.Tensor, top_k: Sequence[int], top_p: torch.Tensor) -> None:
    """Keep each row's `top_k` likeliest tokens (0: all), and of these the fewest with a total probability of
    `top_p`."""
    vocabulary = logits.shape[-1]
    scores, order = logits.sort(dim=-1, descending=True, stable=True)
    most = torch.tensor([k or vocabulary for k in top_k], device=logits.device)[:, None]
    scores.masked_fill_(torch.arange(vocabulary, device=logits.device) >= most, -torch.inf)
    probabilities = scores.softmax(-1)
    outside = probabilities.cumsum(-1) - probabilities >= top_p
    outside[:, 0] = False
    scores.masked_fill_(outside & (top_p < 1), -torch.inf)
    logits.scatter_(-1, order, scores)
