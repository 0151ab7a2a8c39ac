"""One call of a step: its requests to an engine, and the completion that it ends with.

Most calls are one request. Reasoning before structured output takes a second one (held.py).

Promises: the n-th call that a step starts for a record, and each request of it, has the same seed in every run with the
same run seed. The usage of each request that succeeded is added to the record's ledger, also if its answer is rejected.
A request that failed while its engine survived is retried; a record whose requests always fail is rejected as `poison`,
so that it does not end the run.
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from synth.engines import Answer, EngineError, Pooled, Prompt, Sampling, watching
from synth.own_time import ours
from synth.records import Rejection, Spent, add_spent, derive_seed
from synth.steps.beginning import Beginning, Draft, Foresee, Prospect
from synth.steps.endpoints import Endpoint
from synth.steps.held import free
from synth.steps.ledger import Completion, Ledger, Visit, Words

T = TypeVar("T", Answer, Pooled)
Read = Callable[[Sequence[int], str | None], str]  # the text of token ids, or of an engine's text

ATTEMPTS = 3


class Call:
    """The next call of a `visit` to one model. Its requests begin with `sampling`, without structured output that the
    engine does not support. With `draft` and `foresee`, later filters may stop a request early (beginning.py)."""

    def __init__(
        self,
        endpoint: Endpoint,
        sampling: Sampling,
        ledger: Ledger,
        visit: Visit,
        draft: Draft | None = None,
        foresee: Foresee | None = None,
    ):
        self.endpoint = endpoint
        self.sampling = sampling if sampling.form in endpoint.holds else free(sampling)
        self._ledger, self._visit = ledger, visit
        self._draft, self._foresee = draft, foresee
        self._number = next(visit.calls)
        self._requests = itertools.count()

    async def ask(self, prompt: Prompt, sampling: Sampling, read: Read | None = None) -> Answer:
        """The answer to one request, cut where it loops. `read` returns the step's text of a partial answer.

        Raises Doomed if later filters are certain to reject the record, and what `request` raises.
        """
        seeded = replace(sampling, seed=self._seed(sampling, next(self._requests)))
        prospect = self._prospect(prompt, sampling, read) if read else None
        beginning = Beginning(seeded, prospect)

        async def once() -> Answer:
            nonlocal beginning
            beginning, engine = Beginning(seeded, prospect), self.endpoint.engine
            watched = watching(engine, beginning) if beginning.is_watched else {}
            return beginning.ended(await engine.generate(prompt, seeded, **watched))

        answer = await request(once, self._ledger, self._visit)
        if beginning.doom:
            raise beginning.doom
        return answer

    def completion(self, answer: Answer, text: str, reasoning: str | None) -> Completion:
        """The end of the call: the completion, added to the ledger."""
        ids, end = answer.token_ids, answer.finish_reason
        mode = self.sampling.thinking if isinstance(self.sampling.thinking, str) else None
        completion = Completion(Words(text), ids, end, reasoning, answer.logprob, self.endpoint.model, mode)
        detection = self.sampling.repetition_detection
        may_loop = detection is not None and not detection.reject
        self._ledger.hear(completion, self._visit, self._number, may_loop=may_loop)
        return completion

    def _prospect(self, prompt: Prompt, sampling: Sampling, read: Read) -> Prospect | None:
        """Reads partial text without begun stop strings and incomplete characters."""
        if not self._draft or not self._foresee:
            return None

        def read_so_far(token_ids: Sequence[int], text: str | None) -> str:
            answer_text = read(token_ids, text)
            left_out = max(map(len, sampling.stop), default=1) - 1 if text is None else 0
            return answer_text[: len(answer_text) - left_out].rstrip("\ufffd").strip()

        most = min(sampling.max_tokens, self.endpoint.engine.max_model_len - len(prompt))
        return Prospect(self._draft, self._foresee, read_so_far, most)

    def _seed(self, sampling: Sampling, request: int) -> int:
        """The given seed, or one derived for this call; for further requests of a call, derived from that."""
        further = [request] if request else []
        if sampling.seed is None:
            return derive_seed(*self._visit.scope, self._number, *further)
        return derive_seed(sampling.seed, *further) if further else sampling.seed


async def request(ask: Callable[[], Awaitable[T]], ledger: Ledger, visit: Visit) -> T:
    """The answer that `ask` returns, with its usage added to `ledger`. A failed request is repeated, up to ATTEMPTS
    times in all.

    Raises Rejection (`withheld`, `prompt_too_long`, `poison`); ValueError of a request that would fail again; and
    EngineError if the engine is broken, which `visit` keeps.
    """
    failures = 0
    while True:
        try:
            with ours():
                answer = await ask()
            written = answer.completion_tokens if isinstance(answer, Answer) else 0
            tokens = (answer.prompt_tokens, answer.cached_tokens, written)
            add_spent(ledger.spent, {visit.step: Spent(1, *tokens, answer.engine_seconds)})
            if isinstance(answer, Answer) and answer.withheld is not None:
                raise Rejection("withheld", answer.withheld)
            if isinstance(answer, Answer) and answer.too_long is not None:
                raise Rejection("prompt_too_long", answer.too_long)
            return answer
        except EngineError as error:
            visit.failure = error
            raise
        except (ValueError, Rejection):  # it would fail again
            raise
        except Exception as error:
            failures += 1
            if failures == ATTEMPTS:
                raise Rejection("poison", f"{type(error).__name__}: {error}") from error
