"""What a worker counts while it runs: read by the scheduler's side for the display and the metrics."""

from dataclasses import dataclass, field

from synth.engines import EngineStats
from synth.records import Spent
from synth.report.work import Work
from synth.storage.tally import Tally


@dataclass
class Counters:
    """A worker's counters. `uncommitted`: what is finished in uncommitted shards. Since its start: kept rows, tokens,
    busy seconds of its engine, and those of structured outputs among them; `spent` at each step on finished records;
    `work` per record."""

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
