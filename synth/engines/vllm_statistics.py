"""What vLLM's scheduler tells of each step: requests, the cache, and what it computes again."""

from typing import Any

from synth.engines import EngineStats
from synth.engines.admission import Admission


class Statistics:
    """The engine's own gauges, kept as they arrive with each scheduler step.

    vLLM would also note times for each token of each request, which is most of what its front end costs (2 of 3
    microseconds a token). Nobody reads them here: they are left out, and tokens are counted a step at a time.
    """

    def __init__(self, admission: Admission) -> None:
        self.load = EngineStats(generated=0, preempted=0, recomputed=0)
        self._admission = admission

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

        load, admission = self.load, self._admission

        class Gauges(StatLoggerBase):  # type: ignore[misc]  # vLLM is not read by mypy
            def __init__(self, vllm_config: Any, engine_index: int = 0):
                pass

            def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
                if scheduler_stats is not None:
                    load.running = scheduler_stats.num_running_reqs
                    load.waiting = scheduler_stats.num_waiting_reqs
                    load.cache_usage = scheduler_stats.kv_cache_usage
                    again = scheduler_stats.prefix_cache_stats  # of prompts too: what the cache had is not in it
                    load.recomputed = (load.recomputed or 0) + again.preempted_queries - again.preempted_hits
                    admission.look(load.generated or 0, load.recomputed, load.running, load.cache_usage)

            def log_engine_initialized(self) -> None:
                pass

        return Gauges(vllm_config, engine_index)
