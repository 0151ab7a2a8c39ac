"""The progress display: a table on a terminal, plain lines elsewhere, and every number in metrics.jsonl."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from synth.records import Spent
from synth.report import progress as module
from synth.report.progress import Progress
from synth.report.reserved import Reserved
from synth.report.snapshot import Snapshot

START = Snapshot(kept=0, rejected=0, wanted=1000, replicas=2)
UNDER_WAY = replace(START, kept=250, rejected=10, running=64, waiting=3, cache_usage=0.5, replicas_ready=2)


class Clock:
    """Time for the display, moved by hand."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def time(self):
        return 1e9 + self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def output():
    return io.StringIO()


@pytest.fixture
def plain(tmp_path, output, clock):
    with Progress(tmp_path / "metrics.jsonl", Console(file=output, width=40)) as progress:
        yield progress


@pytest.fixture
def drawn(tmp_path, output, clock):
    """On a terminal, which shows the last state when the progress ends."""
    console = Console(file=output, force_terminal=True, width=120, _environ={"TERM": "xterm"})
    return Progress(tmp_path / "metrics.jsonl", console)


def metrics(tmp_path):
    return [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]


def test_elsewhere_than_on_a_terminal_there_is_one_whole_line_every_ten_seconds(plain, output, clock):
    for second in range(25):
        clock.now = 100.0 + second
        plain.update(replace(UNDER_WAY, kept=250 + 10 * second, made=10 * second, completion_tokens=5000 * second))
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[2] == ("kept 450/1,000  rejected 10  5,000 tokens/s  running 64  waiting 3  left 55s")


def test_a_cache_that_is_too_small_is_told_where_it_costs(plain, output, clock):
    for second in range(21):
        clock.now = 100.0 + second
        again = 50 * second if second > 10 else 0
        plain.update(replace(UNDER_WAY, completion_tokens=1000 * second, recomputed=again, preempted=second))
    first, *_, last = output.getvalue().splitlines()
    assert "computed again" not in first
    assert "waiting 3 (KV cache too small: 5% of tokens recomputed)  left" in last


def test_lines_hold_no_control_sequence(plain, output):
    plain.update(UNDER_WAY)
    plain.print_line("[red]replica 1[/red]: lost")
    assert "\x1b" not in output.getvalue()
    assert "[red]replica 1[/red]: lost" in output.getvalue()


def test_before_any_engine_runs_it_says_how_long_they_have_been_starting(plain, output, clock):
    clock.now += 20
    plain.update(START)
    assert output.getvalue() == "loading the model: 0 of 2 engine(s) ready, 20s\n"


def test_a_run_that_lost_its_engines_still_tells_what_is_kept(plain, output, clock):
    plain.update(UNDER_WAY)
    clock.now += 20
    plain.update(replace(UNDER_WAY, replicas_ready=0))
    assert output.getvalue().splitlines()[-1].startswith("kept 250/1,000")


def test_a_terminal_is_shown_kept_rejected_tokens_requests_and_time_left(drawn, output, clock):
    with drawn:
        drawn.update(UNDER_WAY)
        clock.now += 10
        drawn.update(replace(UNDER_WAY, kept=350, made=100, completion_tokens=20_000))
    shown = output.getvalue()
    expected = "350/1,000 kept|10 rejected|2/2 engines|2,000 tokens/s|64 running, 3 waiting|50% of KV cache|1m05s left"
    for part in expected.split("|"):
        assert part in shown


def test_a_dumb_terminal_gets_plain_lines(tmp_path, output, clock):
    console = Console(file=output, force_terminal=True, _environ={"TERM": "dumb"})
    with Progress(tmp_path / "metrics.jsonl", console) as progress:
        progress.update(UNDER_WAY)
    assert output.getvalue().startswith("kept 250")


def test_rates_are_those_of_the_last_half_minute(plain, clock):
    for second in range(0, 200, 2):
        clock.now = 100.0 + second
        tokens = 100 * second if second < 100 else 10_000 + 700 * (second - 100)
        plain.update(replace(UNDER_WAY, completion_tokens=tokens))
    assert plain.rates.tokens_per_second == pytest.approx(700)


def test_records_found_on_disk_are_kept_and_not_made(plain, output, clock):
    plain.update(replace(UNDER_WAY, kept=0))
    clock.now += 10
    plain.update(replace(UNDER_WAY, kept=900, made=10))
    assert output.getvalue().splitlines()[-1].endswith("left 1m40s")


def test_the_time_that_engines_take_to_start_is_no_part_of_a_rate(plain, clock):
    for second in range(20):
        clock.now = 100.0 + second
        plain.update(START)
    plain.update(UNDER_WAY)
    clock.now += 10
    plain.update(replace(UNDER_WAY, completion_tokens=1000))
    assert plain.rates.tokens_per_second == pytest.approx(100)


def test_a_lost_worker_takes_its_tokens_along_and_no_rate_is_negative(plain, clock):
    plain.update(replace(UNDER_WAY, completion_tokens=9000))
    clock.now += 1
    plain.update(replace(UNDER_WAY, completion_tokens=10))
    assert plain.rates.tokens_per_second == 0


def test_time_left_is_unknown_while_nothing_is_kept_and_nothing_when_all_is(plain, output, clock):
    plain.update(UNDER_WAY)
    clock.now += 15
    plain.update(replace(UNDER_WAY, kept=1000))
    first, second = output.getvalue().splitlines()
    assert first.endswith("left ?")
    assert second.endswith("left 0s")


@pytest.mark.parametrize(("rate", "left"), [(1.0, "10m00s"), (0.1, "1h40m"), (0.00001, "16666h40m"), (100.0, "6s")])
def test_time_left_is_told_in_two_units_at_the_most(plain, output, clock, rate, left):
    plain.update(replace(UNDER_WAY, wanted=1000 * 10**6, kept=0))
    clock.now += 10
    kept = int(10 * rate * 10**6)
    plain.update(replace(UNDER_WAY, wanted=kept + 600 * 10**6, kept=kept, made=kept))
    assert output.getvalue().splitlines()[-1].endswith(f"left {left}")


def test_metrics_are_written_every_second_for_a_minute_then_every_few_and_at_the_end(tmp_path, clock):
    with Progress(tmp_path / "metrics.jsonl", Console(file=io.StringIO())) as progress:
        for second in range(72):
            clock.now = 100.0 + second
            progress.update(replace(UNDER_WAY, kept=second, made=second, completion_tokens=100 * second))
    lines = metrics(tmp_path)
    assert [line["kept"] for line in lines] == [*range(60), 64, 69, 71]
    assert lines[-1]["time"] == 1e9 + 171
    assert lines[-1]["tokens_per_second"] == 100
    assert lines[-1]["kept_per_second"] == 1
    assert lines[-1]["running"] == 64


def test_metrics_of_a_resumed_run_go_on_in_the_same_file(tmp_path, clock):
    for kept in (1, 2):
        with Progress(tmp_path / "metrics.jsonl", Console(file=io.StringIO())) as progress:
            progress.update(replace(UNDER_WAY, kept=kept))
    assert [line["kept"] for line in metrics(tmp_path)] == [1, 1, 2, 2]


def test_goodput_is_kept_records_an_engine_second_of_the_last_half_minute(tmp_path, clock):
    with Progress(tmp_path / "metrics.jsonl", Console(file=io.StringIO())) as progress:
        progress.update(UNDER_WAY)
        clock.now += 10
        spent = {"magpie": Spent(3, 30, 0, 60, 1.23456)}
        progress.update(replace(UNDER_WAY, made=40, engine_seconds=16.0, spent=spent))
    line = metrics(tmp_path)[-1]
    assert (line["goodput"], line["engine_seconds"]) == (2.5, 16.0)
    assert line["spent"]["magpie"] == {
        "calls": 3,
        "prompt_tokens": 30,
        "cached_tokens": 0,
        "completion_tokens": 60,
        "engine_seconds": 1.235,
    }


def test_the_cost_shown_is_that_of_the_whole_run_and_of_a_thousand_kept(tmp_path, output, clock):
    before = Reserved(3600, 3600, 2.0)
    with Progress(tmp_path / "metrics.jsonl", Console(file=output, width=40), before) as progress:
        progress.update(replace(UNDER_WAY, reserved=Reserved(900, 900, 0.5)))
    assert output.getvalue().endswith("left ?  cost 2.50  10.00 per 1,000 kept\n")
    assert metrics(tmp_path)[-1]["cost"] == 0.5


def test_a_terminal_is_shown_the_cost_too(drawn, output):
    with drawn:
        drawn.update(replace(UNDER_WAY, reserved=Reserved(900, 900, 0.5)))
    assert "cost 0.50" in output.getvalue() and "2.00 per 1,000 kept" in output.getvalue()


def test_whoever_follows_hears_what_is_written(plain, tmp_path, clock):
    heard = []
    plain.followers.append(heard.append)
    for second in range(12):
        clock.now = 100.0 + second
        plain.update(replace(UNDER_WAY, kept=second))
    assert heard == metrics(tmp_path)


def test_a_follower_that_fails_is_told_of_once_and_left_out_and_the_others_go_on(tmp_path, clock):
    heard, asked = [], []

    class Tracker:
        def __call__(self, line):
            asked.append(line)
            raise ConnectionError("no such server")

    shown = io.StringIO()
    with Progress(tmp_path / "metrics.jsonl", Console(file=shown, width=200)) as progress:
        progress.followers += [Tracker(), heard.append]
        for second in range(12):
            clock.now = 100.0 + second
            progress.update(replace(UNDER_WAY, kept=second))
    assert len(asked) == 1 and heard == metrics(tmp_path)
    assert shown.getvalue().count("metrics: Tracker failed (no such server); going on without it") == 1


def test_the_moments_when_engines_get_ready_and_end_have_lines_of_their_own(tmp_path, clock):
    with Progress(tmp_path / "metrics.jsonl", Console(file=io.StringIO())) as progress:
        for second, ready in ((0, 0), (2, 0), (3, 1), (70, 1), (72, 2), (73, 0)):
            clock.now = 100.0 + second
            progress.update(replace(UNDER_WAY, replicas_ready=ready))
        clock.now = 250.0  # a merge takes a while
    assert [line["time"] - 1e9 for line in metrics(tmp_path)] == [100, 103, 170, 173, 173]
