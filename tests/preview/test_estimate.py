"""What a run would take, estimated from a short one: the figures, what they leave out, and what is no measure."""

import json
import re
import shutil

import pytest

from synth.report import progress
from synth.report.run_data import Run
from synth.report.throughput import throughput
from synth.run import main
from tests.error_lines import check_line

KIND = ["+strategy=magpie", "engine=simulated", "engine.median_tokens=20", "engine.max_num_seqs=32"]
SPEED = "engine.tokens_per_second=150"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a run of 200 records."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "FIRST_INTERVAL_S", 0.5)
        assert main([*KIND, SPEED, "num_records=200", f"output_dir={folder}"]) == 0
    return folder


def printed(capsys, *overrides, code=0):
    """The lines of a plan by their names, or the error."""
    capsys.readouterr()
    assert main([*KIND, *overrides, "dry_run=true"]) == code
    out, error = capsys.readouterr()
    return dict(line.split(maxsplit=1) for line in out.splitlines()) if code == 0 else error


def engine_hours(lines):
    return float(lines["time"].partition(" ")[0].replace(",", ""))


@pytest.mark.slow
def test_an_estimate_from_200_records_is_what_2000_take(small, tmp_path, capsys, monkeypatch):
    big = [SPEED, "num_records=2000", f"output_dir={tmp_path}"]
    lines = printed(capsys, *big, f"estimate_from={small}")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(progress, "FIRST_INTERVAL_S", 0.5)
    assert main([*KIND, *big]) == 0
    took = throughput(Run.open(tmp_path).snapshots).engine_seconds / 3600
    assert engine_hours(lines) == pytest.approx(took, rel=0.3)
    assert re.search(r"for 2,000 records: .* on 1, .* on 8, .* on 64 replica", lines["time"])


def test_hours_grow_with_the_records_and_are_shared_by_replicas(small, capsys):
    a, b = (
        printed(capsys, SPEED, f"num_records={n}", f"estimate_from={small}", "cluster.replicas=10")
        for n in (10**6, 10**7)
    )
    assert engine_hours(b) == pytest.approx(10 * engine_hours(a), rel=0.02)
    on_ten = float(re.search(r"records: ([\d.]+) h on 10 replica", b["time"])[1])
    assert on_ten == pytest.approx(engine_hours(b) / 10, abs=0.1)
    assert re.fullmatch(r"about [\d.]+ GB, [\d.]+ kB per kept record", b["disk"])
    assert re.fullmatch(r"[\d,]+ prompt tokens, [\d,]+ generated", b["expected"])


def test_the_start_of_the_engines_is_no_part_of_the_pace_and_told_apart(small, tmp_path, capsys):
    folder = copied(
        small, tmp_path, lambda at, one: one | {"time": one["time"] + (100 if one["replicas_ready"] else 0)}
    )
    words = [SPEED, "num_records=100000"]
    before, after = (printed(capsys, *words, f"estimate_from={path}") for path in (small, folder))
    assert engine_hours(before) == engine_hours(after)
    assert re.search(r"plus \d+ (s|min) for the start of each engine", after["time"])


def copied(folder, target, change):
    """A copy with other lines in its metrics."""
    copy = target / "copy"
    shutil.copytree(folder, copy)
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(change(at, one)) + "\n" for at, one in enumerate(lines)))
    return copy


def test_a_run_that_has_begun_is_estimated_from_itself(small, capsys):
    lines = printed(capsys, SPEED, "num_records=1200", f"output_dir={small}")
    assert "engine-hours for 1,000 records" in lines["time"]
    done = printed(capsys, SPEED, "num_records=200", f"output_dir={small}")
    assert "engine-hours for 0 records" in done["time"]


def test_gpus_and_a_price_give_a_cost(small, tmp_path, capsys):
    folder = copied(small, tmp_path, lambda at, one: one | {"gpu_seconds": 4 * one["replica_seconds"]})
    lines = printed(capsys, SPEED, "num_records=1000000", f"estimate_from={folder}", "price_per_gpu_hour=2.5")
    assert lines["GPU-hours"].endswith(", 4 GPU(s) per replica")
    cost = float(lines["cost"].partition(", at")[0].replace(",", ""))
    assert cost == pytest.approx(10 * engine_hours(lines), rel=0.02)


JUDGED = [
    "+strategy.judge={_target_: synth.steps.judge.Judge, model: judge, on_failure: keep}",
    "strategy.steps=[magpie,judge]",
    "models.judge=demo",
    "models.judge.engine.median_tokens=40",
    "models.judge.engine.max_num_seqs=8",
    "models.judge.engine.tokens_per_second=150",
]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder of a run with a judge that has more to do than main."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "FIRST_INTERVAL_S", 0.5)
        assert main([*KIND, SPEED, *JUDGED, "num_records=200", f"output_dir={folder}"]) == 0
    return folder


def longest(lines, writers, judges):
    """Hours, at the most, with so many engines; and those of main and of the judge alone."""
    hours = re.search(r"main (?:at most )?([\d.]+), judge (?:at most )?([\d.]+);", lines["time"])
    time = re.search(rf"([\d.]+) h with {writers} of main and {judges} of judge", lines["time"])
    return float(time[1]), *map(float, hours.groups())


@pytest.mark.slow
def test_of_several_models_the_one_with_most_to_do_decides_how_long_it_takes(two, capsys):
    words = [SPEED, *JUDGED, "num_records=1000000", f"estimate_from={two}"]
    for writers, judges in ((1, 1), (1, 3), (4, 1)):
        lines = printed(capsys, *words, f"cluster.replicas={writers}", f"models.judge.replicas={judges}")
        hours, of_main, of_judge = longest(lines, writers, judges)
        assert hours == pytest.approx(max(of_main / writers, of_judge / judges), abs=0.1)
    assert re.search(
        r"per kept record main [\d,]+ prompt tokens.* engine-seconds, judge [\d,]+ prompt tokens", lines["measured"]
    )


@pytest.mark.slow
def test_replicas_of_main_alone_do_not_make_a_run_faster_than_its_judge(two, capsys):
    lines = printed(capsys, SPEED, *JUDGED, "num_records=1000000", f"estimate_from={two}")
    for writers in (1, 8, 64):
        hours, _, of_judge = longest(lines, writers, 1)
        assert hours >= of_judge - 0.1


def test_without_a_measure_it_says_how_to_get_one(tmp_path, capsys):
    lines = printed(capsys, f"output_dir={tmp_path}")
    assert lines["time"] == "unknown; set estimate_from=RUN_DIR to a short run of the same kind"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("engine.median_tokens=99", "engine.median_tokens was 20, is 99"),
        ("strategy.magpie.n_turns=2", "strategy.magpie.n_turns was 1, is 2"),
        ("model=qwen3-8b", "model.name was "),
    ],
)
def test_a_run_of_another_kind_is_no_measure(small, tmp_path, capsys, override, reason):
    error = printed(capsys, override, f"output_dir={tmp_path}/new", f"estimate_from={small}", code=2)
    assert error.startswith(f"error: estimate_from: {small} is a run of another kind: ") and reason in error
    assert error.count("\n") == 1


def test_another_seed_is_the_same_kind_and_another_batch_is_noted(small, tmp_path, capsys):
    words = [SPEED, "seed=5", "engine.max_num_seqs=64", f"output_dir={tmp_path}/new", f"estimate_from={small}"]
    assert "engine.max_num_seqs was 32, is 64" in printed(capsys, *words)["but"]


def test_a_batch_that_was_never_full_is_noted(small, tmp_path, capsys):
    folder = copied(small, tmp_path, lambda at, one: one | {"running": one["running"] // 4, "waiting": 0})
    lines = printed(capsys, SPEED, "num_records=1000", f"estimate_from={folder}")
    assert re.search(r"at most [5-8] of 32 requests ran at once; measure a longer run", lines["but"])


def test_what_holds_no_run_or_measured_nothing_is_refused_by_the_key(small, tmp_path, capsys):
    error = printed(capsys, SPEED, f"estimate_from={tmp_path}", code=2)
    check_line(error, f"error: estimate_from: {tmp_path}", "no run", "manifest.json")
    folder = copied(small, tmp_path, lambda at, one: {})
    error = printed(capsys, SPEED, f"estimate_from={folder}", code=2)
    check_line(error, f"error: estimate_from: {folder}", "no committed records")


def test_an_estimate_is_for_a_dry_run_only(small, capsys):
    assert main([*KIND, f"estimate_from={small}"]) == 2
    assert capsys.readouterr().err.startswith("error: estimate_from: is for dry_run=true")
