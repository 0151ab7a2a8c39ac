"""What is kept of what vLLM's scheduler tells of each step."""

import pytest

from synth.engines.admission import Admission
from synth.engines.vllm_statistics import Statistics


@pytest.mark.vllm
def test_what_preemption_makes_it_compute_again_is_counted_without_what_its_cache_still_had():
    from vllm.v1.metrics.stats import PrefixCacheStats, SchedulerStats

    statistics = Statistics(Admission(8))
    logger = statistics.logger(None)
    for queries, hits in ((100, 64), (0, 0), (40, 0)):
        again = PrefixCacheStats(preempted_queries=queries, preempted_hits=hits, queries=7, hits=3)
        logger.record(SchedulerStats(num_running_reqs=5, kv_cache_usage=0.5, prefix_cache_stats=again))
    logger.record(None)
    load = statistics.load
    assert (load.recomputed, load.running, load.cache_usage) == (76, 5, 0.5)
