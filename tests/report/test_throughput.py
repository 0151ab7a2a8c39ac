"""A run's pace out of metrics.jsonl."""

from synth.report.run_data import Run
from synth.report.throughput import POINTS, throughput
from tests.report.runs import make_run


def lines(*times, **more):
    return [{"time": time, "replicas_ready": 2, "completion_tokens": 10 * n, "running": n} | more
            for n, time in enumerate(times)]  # fmt: skip


def test_time_counts_while_engines_are_ready():
    loading = [{"time": 1.0, "replicas_ready": 0}, {"time": 60.0, "replicas_ready": 0}]
    found = throughput(loading + lines(100.0, 105.0, 110.0))
    assert found.seconds.tolist() == [0, 5, 10] and found.engine_seconds == 20
    assert found.series["running"].tolist() == [0, 1, 2]


def test_the_last_engines_count_up_to_their_end():
    found = throughput([*lines(100.0, 105.0), *lines(107.0, completion_tokens=20, replicas_ready=0)])
    assert found.engine_seconds == 14


def test_a_pause_between_processes_counts_for_nothing():
    found = throughput(lines(100.0, 105.0) + lines(9000.0, 9005.0))
    assert found.seconds.tolist() == [0, 5, 5, 10]
    assert found.starts == [5] and found.engine_seconds == 20


def test_a_process_that_starts_at_once_is_told_by_its_counters():
    found = throughput(lines(100.0, 105.0) + lines(106.0, 111.0))
    assert found.starts == [5] and found.duration == 10


def test_long_runs_are_thinned():
    found = throughput(lines(*range(0, 50_000, 5)))
    assert len(found.seconds) == len(found.series["running"]) == POINTS and found.duration == 49_995


def test_no_metrics_are_no_throughput():
    assert throughput([]).duration == 0 and throughput([]).engine_seconds == 0


def test_lines_that_are_torn_or_of_another_form_are_left_out(tmp_path):
    run = Run.open(make_run(tmp_path, [], snapshots=lines(1.0, 2.0)))
    with run.folder.metrics.open("a") as file:
        file.write('[]\n{"time": "now"}\n{"time": 3.0, "running": "x", "replicas_ready": 1}\n{"time": 4.')
    assert [snapshot["time"] for snapshot in run.snapshots] == [1.0, 2.0, 3.0]
    assert throughput(run.snapshots).series["running"].tolist() == [0, 1, 0]
