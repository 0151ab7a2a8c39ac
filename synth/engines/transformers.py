"""Hugging Face Transformers in this process, for machines without vLLM: on a CPU, a GPU, or Apple silicon.

Requests run in batches. When half of a batch has finished, it is restarted without the finished rows and with new ones;
the tokens of the others so far become part of their prompts. So only `generate` of Transformers is used, and any model
that supports it works.

Promises: the event loop is never blocked; a row's seed determines its text, whatever runs beside it, as far as the
arithmetic of a padded batch allows (in float32 on a CPU, nearly always).
"""

import asyncio
import dataclasses
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Answer, EngineError, EngineStats, Form, Placement, Sampling, Watch
from synth.engines.cpu_dtype import cpu_dtype
from synth.models.model import Model

if TYPE_CHECKING:
    from synth.engines.row import Row

Count = Annotated[int, Field(gt=0)]
GATHERING_S = 0.01  # a new batch waits so long, since requests come in bursts


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Transformers:
    """One model with batches of up to `max_num_seqs` requests. Fields are the keys of conf/engine/transformers.yaml."""

    model: Model
    max_num_seqs: Count = 32
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Count | Literal["auto"] = "auto"

    holds: ClassVar[frozenset[Form]] = frozenset({"choice"})

    RUNTIME_ONLY: ClassVar[frozenset[str]] = frozenset({"max_num_seqs", "threads"})

    @property
    def concurrency(self) -> int:
        return self.max_num_seqs

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement:
        """A GPU if there is one and it is wanted, else a fair share of the cores."""
        env = {"TOKENIZERS_PARALLELISM": "false"}
        if on_gpu and self.device in ("auto", "cuda"):
            return Placement(gpus=1, cpus=1, env=env)
        threads = len(os.sched_getaffinity(0)) // (replicas_beside + 1) if self.threads == "auto" else self.threads
        return Placement(cpus=1, env=env | {"OMP_NUM_THREADS": str(max(1, threads))})

    def missing(self) -> str | None:
        return self.model.missing_weights() or self.model.cannot_generate()

    async def start(self) -> None:
        """Load the model. Raises EngineError with the reason if it fails."""
        self._generated = 0
        self._waiting: deque[_Request] = deque()
        self._running: list[_Request] = []
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "transformers")
        self._loop = asyncio.get_running_loop()
        try:
            await self._loop.run_in_executor(self._thread, self._load_model)
        except EngineError:
            raise
        except Exception as error:  # of many libraries
            raise EngineError(f"Transformers can't load {self.model.path}: {_line(error)}") from error
        self._serving = asyncio.create_task(self._serve())

    async def generate(self, prompt: Sequence[int], sampling: Sampling, watch: Watch | None = None) -> Answer:
        """Continue `prompt`. Raises ValueError for a prompt that is too long, EngineError if the model failed."""
        from synth.engines.row import Row

        if len(prompt) >= self.max_model_len:
            raise ValueError(f"the prompt has {len(prompt)} tokens, the model takes {self.max_model_len}")
        choices = [self._tokenizer.encode(choice, add_special_tokens=False) for choice in sampling.choice or ()]
        row = Row(prompt, sampling, self.max_model_len - len(prompt), self._eos, self._decode, choices, watch)
        request = _Request(row, self._loop.create_future())
        self._waiting.append(request)
        self._arrived.set()
        await request.ended
        return Answer(row.token_ids, row.finish_reason or "stop", len(prompt), text=row.text, logprob=row.logprob)

    def stats(self) -> EngineStats:
        running = sum(sequence.goes_on for sequence in self._running)
        return EngineStats(running=running, waiting=len(self._waiting), generated=self._generated)

    async def stop(self) -> None:
        """Ends within one token."""
        self._serving.cancel()
        for request in [*self._running, *self._waiting]:
            request.ended.cancel()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _load_model(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        path, revision = self.model.path, self.model.revision
        options = {"revision": revision, "trust_remote_code": False}
        device = best if self.device == "auto" else self.device
        dtype = cpu_dtype(self.model.dtype) if device == "cpu" else self.model.dtype
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **options)
        self._model = model.eval().to(device)
        self._tokenizer = AutoTokenizer.from_pretrained(self.model.tokenizer or path, **options)
        length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if isinstance(self.model.max_model_len, int):  # auto is for engines with a cache of a fixed size
            length = self.model.max_model_len
        if not length:
            raise EngineError(f"{path} does not declare its context length: set model.max_model_len")
        self.max_model_len: int = length
        eos = model.generation_config.eos_token_id
        self._eos = frozenset([eos] if isinstance(eos, int) else eos or ())
        # Sampling and stopping are done here; a sampling default in the model's folder must not apply.
        model.generation_config = GenerationConfig()

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    async def _serve(self) -> None:
        """Run batch after batch while the engine runs."""
        while True:
            if not self._running and not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                await asyncio.sleep(GATHERING_S)
            while self._waiting and len(self._running) < self.max_num_seqs:
                self._running.append(self._waiting.popleft())
            try:
                await self._loop.run_in_executor(self._thread, self._go_on, list(self._running))
            except Exception as error:
                failure = EngineError(f"Transformers failed: {_line(error)}")
                for request in self._running:
                    request.end(failure)
            await asyncio.sleep(0)  # let the event loop deliver the last answers
            self._running = [sequence for sequence in self._running if sequence.goes_on]

    def _go_on(self, batch: "list[_Request]") -> None:
        """Generate until it is worth restarting the batch. Runs in the thread."""
        import torch
        from transformers import GenerationConfig

        from synth.engines.row import draw

        def drawn(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Leaves Transformers only the token that each row has drawn."""
            going = [index for index, request in enumerate(batch) if request.goes_on]
            rows = [batch[index].row for index in going]
            only = torch.full_like(scores, -torch.inf)
            only[:, 0] = 0.0
            for index, row, token in zip(going, rows, draw(scores[going], rows) if rows else [], strict=True):
                if row.sampling.logprob:
                    row.logprobs.append(float(scores[index, token] - scores[index].logsumexp(-1)))
                row.append(token)
                self._generated += row.finish_reason != "stop"
                only[index, 0], only[index, token] = -torch.inf, 0.0
                if row.finish_reason:
                    self._loop.call_soon_threadsafe(batch[index].end)
            return only

        def worth_anew(input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
            going = sum(request.goes_on for request in batch)
            others_wait = bool(self._waiting) and 2 * going <= self.max_num_seqs
            return torch.full(input_ids.shape[:1], others_wait or 2 * going <= len(batch), device=input_ids.device)

        heads = [request.row.prompt + request.row.token_ids for request in batch if request.goes_on]
        batch = [request for request in batch if request.goes_on]
        if not batch:
            return
        longest = max(map(len, heads))
        padded = torch.tensor([[0] * (longest - len(head)) + head for head in heads])
        mask = torch.tensor([[0] * (longest - len(head)) + [1] * len(head) for head in heads])
        self._model.generate(
            padded.to(self._model.device),
            attention_mask=mask.to(self._model.device),
            generation_config=GenerationConfig(
                max_new_tokens=max(request.row.left for request in batch), pad_token_id=0, do_sample=False
            ),
            logits_processor=[drawn],
            stopping_criteria=[worth_anew],
        )


@dataclasses.dataclass(eq=False)
class _Request:
    """A row and the future of its caller."""

    row: "Row"
    ended: asyncio.Future[None]

    @property
    def goes_on(self) -> bool:
        return self.row.finish_reason is None and not self.ended.done()

    def end(self, failure: Exception | None = None) -> None:
        if not self.ended.done():
            self.ended.set_exception(failure) if failure else self.ended.set_result(None)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
