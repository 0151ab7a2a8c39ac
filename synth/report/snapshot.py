"""The numbers of a run at one moment, from which its progress is displayed, and which metrics.jsonl records.

Plain data. synth/schedule/metrics_collector.py collects it; status.py and progress.py show and write it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synth.engines import EngineStats
from synth.records import Spent
from synth.report.reserved import NOTHING, Reserved
from synth.report.strata import Stratum
from synth.report.time_left import Left
from synth.report.work import Work


@dataclass(frozen=True)
class ModelAtWork:
    """The engines of a model beside main: `engines_ready` of `engines` answer; running and waiting requests; tokens and
    busy seconds since the start of the run's process. A server's rate limit pauses one of them for `paused_s` more. The
    rest is as in Snapshot."""

    engines_ready: int
    engines: int
    running: int
    waiting: int
    prompt_tokens: int
    completion_tokens: int
    engine_seconds: float
    cached_tokens: int = 0
    paused_s: float = 0.0
    form_seconds: float = 0.0
    preempted: int = 0
    recomputed: int = 0
    cache_tokens: int = 0
    at_once: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The run at one moment. `wanted` is num_records; `made`, tokens, seconds and usage `spent` by step are totals
    since this process started. `records` are finished, with `kept` and `rejected` rows; `reasons` count the rejected
    ones. `left` and `work` are for estimating the time that is left.

    `kept` includes rows found on disk, `made` only new ones. `engine_seconds` are busy seconds of engines; replicas and
    their GPUs are `reserved` while idle, too. `paused_s` is the longest pause of one of main's engines by a server's
    rate limit.

    `preempted` requests were preempted by a full cache, and `recomputed` tokens computed again for them; all caches
    together hold `cache_tokens`, and all engines admit `at_once` requests, 0 if unknown. `form_seconds` are the
    engine-seconds of structured outputs.
    """

    kept: int
    rejected: int
    wanted: int
    records: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    left: Left | None = None
    work: Work | None = None
    made: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0
    form_seconds: float = 0.0
    preempted: int = 0
    recomputed: int = 0
    cache_tokens: int = 0
    at_once: int = 0
    reserved: Reserved = NOTHING
    spent: dict[str, Spent] = field(default_factory=dict)
    running: int = 0
    waiting: int = 0
    cache_usage: float = 0.0
    paused_s: float = 0.0
    replicas_ready: int = 0
    replicas: int = 0
    models: Mapping[str, ModelAtWork] = field(default_factory=dict)
    strata: Sequence[Stratum] = ()


def of_caches(ever: Iterable[EngineStats], here: Iterable[EngineStats]) -> dict[str, Any]:
    """Cache statistics, over all engines so far (`ever`) and over the current ones (`here`)."""
    ever, here = list(ever), list(here)
    return {
        "preempted": sum(stats.preempted or 0 for stats in ever),
        "recomputed": sum(stats.recomputed or 0 for stats in ever),
        "cache_tokens": sum(stats.cache_tokens or 0 for stats in here),
        "at_once": sum(stats.at_once or 0 for stats in here),
    }
