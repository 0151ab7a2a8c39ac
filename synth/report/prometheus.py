"""Exports metrics.jsonl as Prometheus metrics through Ray: they are served where a Ray node serves its own.

Totals become counters, other numbers gauges. Numbers by step have a label `step`, those of other models a label
`model`, and all have `run`, the name of the run's folder, because a cluster may have several runs. Ray adds the prefix
`ray_` to each name and the suffix `_total` to counters.
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
    """Called with lines of metrics.jsonl, in a process that is connected to Ray."""

    def __init__(self, run: str):
        self._run = run
        self._metrics: dict[str, Any] = {}
        self._told: dict[tuple[str, str], float] = {}

    def __call__(self, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if isinstance(value, int | float) and name not in _NOT_METRICS:
                self._record(f"synth_{name}", value, total=name in TOTALS)
        for step, spent in line["spent"].items():
            for name, value in spent.items():
                self._record(f"synth_step_{name}", value, total=True, step=step)
        for model, values in line.get("models", {}).items():
            for name, value in values.items():
                self._record(f"synth_model_{name}", value, total=name in TOTALS, model=model)

    def _record(self, name: str, value: float, *, total: bool, **labels: str) -> None:
        from ray.util.metrics import Counter, Gauge  # late: `connected` sets variables that Ray reads at import

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
