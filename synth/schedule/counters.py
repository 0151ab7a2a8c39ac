"""The counters of a running worker, which the driver reads for the progress display and the metrics."""

from dataclasses import dataclass, field

from synth.engines import EngineStats
from synth.records import Spent
from synth.report.work import Work
from synth.storage.tally import Tally


@dataclass
class Counters:
    """A worker's counters. `uncommitted` are totals of finished records in uncommitted shards. Since its start it
    counts kept rows, tokens, busy seconds of its engine and those for structured output; `spent` by step, for finished
    records; `work` per record."""

    uncommitted: Tally = field(default_factory=Tally)
    made: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0
    form_seconds: float = 0.0
    spent: dict[str, Spent] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    load: EngineStats = field(default_factory=EngineStats)
