"""vLLM for generation: token ids in, the final answer out.

A watched answer is streamed in parts of WATCHED_EVERY tokens, any other one returned as a whole: each part wakes the
event loop, so few parts cost little more than none.
"""

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines import FORMS, WATCHED_EVERY, Answer, EngineError, Form, Sampling, Watch
from synth.engines.vllm_engine import VLLMEngine, is_cpu_build

# White space between JSON tokens. Without a bound a small model may write white space up to max_tokens; indented JSON
# needs less.
MAX_BLANKS = 16


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class VLLM(VLLMEngine):
    """One vLLM engine. Fields are the keys of `conf/engine/vllm.yaml`."""

    kv_cache_dtype: str = "auto"
    enable_prefix_caching: bool = True

    holds: ClassVar[frozenset[Form]] = frozenset(FORMS.values())
    RUNTIME_ONLY: ClassVar[frozenset[str]] = VLLMEngine.RUNTIME_ONLY | {"enable_prefix_caching"}

    def missing(self) -> str | None:
        """Also refuses a model that can't generate, unless `hf_overrides` changes its architecture."""
        return super().missing() or (None if "hf_overrides" in self.extra else self.model.cannot_generate())

    def own_arguments(self) -> dict[str, Any]:
        return {
            "kv_cache_dtype": self.kv_cache_dtype,
            "enable_prefix_caching": self.enable_prefix_caching,
            # Sampling is as configured; a sampling default in the model's folder must not apply.
            "generation_config": "vllm",
            # Multimodal encoders are not loaded, and take no memory.
            "language_model_only": True,
            **({"worker_extension_cls": "synth.engines.cpu_worker.CpuWorker"} if is_cpu_build() else {}),
        }

    async def generate(self, prompt: Sequence[int], sampling: Sampling, watch: Watch | None = None) -> Answer:
        """Continue `prompt`. Raises EngineError if the engine is dead, another error for an invalid request."""
        from vllm import SamplingParams
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind

        token_ids: list[int] = []
        text = ""
        aborted = False
        with self.asking():
            params = SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p,
                presence_penalty=sampling.presence_penalty,
                frequency_penalty=sampling.frequency_penalty,
                repetition_penalty=sampling.repetition_penalty,
                max_tokens=min(sampling.max_tokens, self.max_model_len - len(prompt)),
                stop=list(sampling.stop),
                stop_token_ids=list(sampling.stop_token_ids),
                # Greedy answers need no seed, and a seeded row is slow in the GPU sampler.
                seed=sampling.seed if sampling.temperature > 0 else None,
                detokenize=bool(sampling.stop),
                structured_outputs=self._structured_outputs(sampling),
                logprobs=0 if sampling.logprob else None,  # of the drawn tokens only
                output_kind=RequestOutputKind.DELTA if watch else RequestOutputKind.FINAL_ONLY,
                stream_interval=WATCHED_EVERY if watch else None,
                skip_clone=True,
            )
            request_id = str(next(self._request))
            # Closing it early aborts the request.
            asked = self._llm.generate(tokens_input(list(prompt)), params, request_id)
            async with self._admission.admitted(), aclosing(asked) as outputs:
                async for output in outputs:
                    answer = output.outputs[0]
                    token_ids += answer.token_ids
                    text += answer.text
                    if watch and not output.finished and watch(token_ids, text if sampling.stop else None):
                        aborted = True
                        break
        if not aborted and answer.finish_reason not in ("stop", "length"):
            raise EngineError(f"vLLM ended a request with finish_reason {answer.finish_reason!r}")
        total = answer.cumulative_logprob
        logprob = total / len(token_ids) if sampling.logprob and token_ids and total is not None else None
        # If a stop token ended it, it is the last one.
        if answer.finish_reason == "stop" and not isinstance(answer.stop_reason, str):
            token_ids.pop()
            self._statistics.count(-1)
        return Answer(
            token_ids=token_ids,
            finish_reason="abort" if aborted else "stop" if answer.finish_reason == "stop" else "length",
            prompt_tokens=len(prompt),
            cached_tokens=output.num_cached_tokens or 0,
            text=text if sampling.stop else None,
            logprob=logprob,
        )

    def _structured_outputs(self, sampling: Sampling) -> Any:
        """vLLM's parameters for structured output."""
        from vllm.sampling_params import StructuredOutputsParams

        if sampling.form is None:
            return None
        if sampling.json_schema is not None:
            backend = self._llm.vllm_config.structured_outputs_config.backend
            return StructuredOutputsParams(**json_form(sampling.json_schema, backend))
        choice = None if sampling.choice is None else list(sampling.choice)
        return StructuredOutputsParams(choice=choice, regex=sampling.regex)


def json_form(schema: dict[str, Any], backend: str) -> dict[str, Any]:
    """vLLM's parameters for a JSON schema; with a bound on white space if the backend is xgrammar."""
    from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features

    if backend not in ("auto", "xgrammar") or has_xgrammar_unsupported_json_features(schema):
        return {"json": schema}
    content = {"type": "json_schema", "json_schema": schema, "max_whitespace_cnt": MAX_BLANKS}
    return {"structural_tag": json.dumps({"type": "structural_tag", "format": content})}
