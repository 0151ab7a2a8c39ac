"""Text embeddings by a transformer: the mean of its last hidden states, as in sentence-transformers.

Runs on the CPU beside the engine: embedding models are small, and instructions are short.
"""

import asyncio
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.models.files import missing_model
from synth.own_time import ours
from synth.paths import ModelPath
from synth.quality.loaded import Loaded


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TransformerEmbedding:
    """`path` is a folder or a name on the Hub. `pooling` is the mean over all tokens, or the first token's state.

    Loaded at the first text. One text at a time, truncated to `max_tokens`, so that an embedding does not depend on a
    batch; `threads` is torch's number of threads.
    """

    path: ModelPath
    pooling: Literal["mean", "first"] = "mean"
    max_tokens: Annotated[int, Field(ge=1)] = 384
    threads: Annotated[int, Field(ge=1)] = 1

    def missing(self) -> str | None:
        problem = missing_model(self.path)
        return problem and f"path: {problem}"

    async def embed(self, text: str) -> NDArray[np.float32]:
        """float32, of the model's hidden size."""
        model, tokenizer, turn = await self._loaded.get()
        with ours():
            async with turn:
                return await asyncio.to_thread(self._embed, model, tokenizer, text)

    def _embed(self, model: Any, tokenizer: Any, text: str) -> NDArray[np.float32]:
        import torch

        tokens = tokenizer(text, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state[0]
        pooled = states.mean(0) if self.pooling == "mean" else states[0]
        return np.asarray(pooled.float().numpy())

    @cached_property
    def _loaded(self) -> Loaded[Any]:
        def load() -> Any:
            from transformers import AutoModel, AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(self.path, trust_remote_code=False)
            model = AutoModel.from_pretrained(self.path, dtype="float32", trust_remote_code=False)
            return model.eval(), tokenizer, asyncio.Semaphore(1)

        return Loaded(f"the embedding model {self.path}", load)
