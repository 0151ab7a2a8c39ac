"""Statistics of vLLM's scheduler per step: requests, cache, recomputed tokens."""

from typing import Any

from synth.engines import EngineStats
from synth.engines.admission import Admission


class Statistics:
    """The engine's own gauges, updated at each scheduler step.

    vLLM would also record times for each token of each request, which is most of the cost of its front end (2 of 3
    microseconds per token). They are unused here and left out; tokens are counted per step.
    """

    def __init__(self, admission: Admission) -> None:
        self.load = EngineStats(generated=0, preempted=0, recomputed=0)
        self._admission = admission

    def count(self, tokens: int, preempted: int = 0) -> None:
        self.load.generated = (self.load.generated or 0) + tokens
        self.load.preempted = (self.load.preempted or 0) + preempted

    def counting(self, llm: type) -> Any:
        """An AsyncLLM that counts tokens here, and records no times."""
        from vllm.v1.engine import EngineCoreEventType

        count = self.count

        class Counting(llm):  # type: ignore[misc]  # vLLM is not read by mypy
            def _run_output_handler(self) -> None:
                if self.output_handler is None:
                    # Only in the front end; the scheduler's gauges are unchanged.
                    self.log_stats = self.output_processor.log_stats = False
                    process = self.output_processor.process_outputs

                    def counted(outputs: Any, *given: Any, **named: Any) -> Any:
                        events = (event for output in outputs if output.events for event in output.events)
                        preempted = sum(event.type == EngineCoreEventType.PREEMPTED for event in events)
                        count(sum(len(output.new_token_ids) for output in outputs), preempted)
                        return process(outputs, *given, **named)

                    self.output_processor.process_outputs = counted
                super()._run_output_handler()

        return Counting

    def logger(self, vllm_config: Any, engine_index: int = 0) -> Any:
        from vllm.v1.metrics.loggers import StatLoggerBase

        load, admission = self.load, self._admission

        class Gauges(StatLoggerBase):  # type: ignore[misc]  # vLLM is not read by mypy
            def __init__(self, vllm_config: Any, engine_index: int = 0):
                pass

            def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
                if scheduler_stats is not None:
                    load.running = scheduler_stats.num_running_reqs
                    load.waiting = scheduler_stats.num_waiting_reqs
                    load.cache_usage = scheduler_stats.kv_cache_usage
                    again = scheduler_stats.prefix_cache_stats  # includes prompts; cached tokens are not counted
                    load.recomputed = (load.recomputed or 0) + again.preempted_queries - again.preempted_hits
                    admission.look(load.generated or 0, load.recomputed, load.running, load.cache_usage)

            def log_engine_initialized(self) -> None:
                pass

        return Gauges(vllm_config, engine_index)
