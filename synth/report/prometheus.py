"""The numbers of metrics.jsonl as Prometheus metrics, by way of Ray: where a Ray node exports its own, these are too.

Totals become counters, the rest gauges; what is told step by step has a label `step`, what is told of the models beside
main one `model`, and all have `run`, the name of the run's folder, because a cluster may have several. Ray puts `ray_`
before each name and `_total` after a counter's.
"""

from collections.abc import Mapping
from typing import Any

TOTALS = (
    "made",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "engine_seconds",
    "form_seconds",
    "preempted",
    "recomputed",
    "replica_seconds",
    "gpu_seconds",
)
_NOT_METRICS = ("time", "started")


class Exported:
    """Takes lines of metrics.jsonl, in a process that is connected to Ray."""

    def __init__(self, run: str):
        self._run = run
        self._metrics: dict[str, Any] = {}
        self._told: dict[tuple[str, str], float] = {}

    def __call__(self, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if isinstance(value, int | float) and name not in _NOT_METRICS:
                self._tell(f"synth_{name}", value, total=name in TOTALS)
        for step, spent in line["spent"].items():
            for name, value in spent.items():
                self._tell(f"synth_step_{name}", value, total=True, step=step)
        for model, told in line.get("models", {}).items():
            for name, value in told.items():
                self._tell(f"synth_model_{name}", value, total=name in TOTALS, model=model)

    def _tell(self, name: str, value: float, *, total: bool, **labels: str) -> None:
        from ray.util.metrics import Counter, Gauge  # late, because `connected` sets what Ray reads when it is imported

        if name not in self._metrics:
            self._metrics[name] = (Counter if total else Gauge)(name, tag_keys=("run", *labels))
        labels |= {"run": self._run}
        if not total:
            self._metrics[name].set(value, labels)
            return
        key = (name, labels.get("step") or labels.get("model", ""))
        more = value - self._told.get(key, 0)
        if more > 0:
            self._metrics[name].inc(more, labels)
            self._told[key] = value
