"""vLLM for scores and embeddings, by its pooling runner: token ids in, numbers out, in batches.

Promises: a score is the model's raw output, before any sigmoid; an embedding is float32 unless `dtype` differs, and not
normalized. So both equal those of Transformers for the same tokens, up to rounding.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import Pooled, Task, Unusable
from synth.engines.vllm_engine import VLLMEngine
from synth.models.kinds import Score, architecture, score_of, scores

_VLLMS_NAME: dict[Task, str] = {"score": "classify", "embed": "embed"}


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class VLLMPooling(VLLMEngine):
    """A vLLM engine of a reward model, a classifier, or an embedding model. Fields are the keys of
    `conf/engine/vllm_pooling.yaml`. For a classifier with several labels, the score is the log-odds of `label`.

    Token states are pooled as configured in the model's folder (sentence-transformers' `1_Pooling`), else by vLLM's
    default for the architecture.
    """

    label: str | None = None

    @cached_property
    def task(self) -> Task:
        """From its config.json, which may be read from the Hub. Raises OSError."""
        return "score" if scores(self.model.config) else "embed"

    def missing(self) -> str | None:
        """Also refuses a model whose score output is unknown, if its config.json is on this machine."""
        if (problem := super().missing()) or not self.model.is_here:
            return problem
        try:
            self._read_score()
        except ValueError as error:
            return f"engine.label: {error}"
        except OSError:  # reported when it is loaded
            pass
        return None

    def _read_score(self) -> Score | None:
        """None for an embedding model. Raises ValueError, and OSError."""
        if self.task == "score":
            return score_of(self.model.config, self.label)
        if self.label is not None:
            raise ValueError(f"{self.model.path} is a {architecture(self.model.config)}, not a classifier")
        return None

    def own_arguments(self) -> dict[str, Any]:
        config, self._score = self.model.config, self._read_score()
        stored = config.get("dtype") or config.get("torch_dtype")
        as_stored = self.task == "score" and stored in ("bfloat16", "float16")
        return {
            "runner": "pooling",
            # vLLM would round a float32 checkpoint to float16: auto differs here.
            "dtype": "float32" if self.model.dtype == "auto" and not as_stored else self.dtype(),
            # A cached prefix was rounded in another batch.
            "enable_prefix_caching": False,
        }

    async def start(self) -> None:
        """Raises Unusable for a model that vLLM can't use for scores or embeddings."""
        try:
            await super().start()
        except Unusable as error:
            if "are not supported" not in str(error):
                raise
            kind = architecture(self.model.config)
            raise Unusable(
                f"vLLM does not know the architecture of {self.model.path}, {kind}; set the model's folder at the "
                "step to load it with Transformers"
            ) from error
        given = await self._llm.get_supported_tasks()
        if _VLLMS_NAME[self.task] not in given:
            await self.stop()
            raise Unusable(f"{self.model.path}: vLLM supports {', '.join(given)} for it, not {_VLLMS_NAME[self.task]}")

    async def pool(self, prompt: Sequence[int]) -> Pooled:
        """Raises EngineError if the engine is dead, another error for an invalid request."""
        from vllm import PoolingParams
        from vllm.inputs import tokens_input

        params = PoolingParams(task=_VLLMS_NAME[self.task], use_activation=False)
        with self.asking():
            async for output in self._llm.encode(tokens_input(list(prompt)), params, str(next(self._request))):
                final = output
        if final.error is not None:
            raise RuntimeError(f"vLLM failed at this request: {final.error}")
        values = np.asarray(final.outputs.data.float().numpy(), np.float32).reshape(-1)
        if self._score:
            values = np.asarray([self._score.of(values.tolist())], np.float32)
        return Pooled(values, len(prompt), final.num_cached_tokens or 0)
