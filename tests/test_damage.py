"""Damage to the files of run folders: the same command ends with the same dataset, or with a line that names the file.

A few dozen here; benchmarks/damage.py has a thousand.
"""

import itertools
import random
import re

import pytest

from synth.quality.novelty import Novelty
from synth.steps.seed_tasks import SHIPPED, read_seeds
from synth.storage.manifest import Manifest
from synth.storage.run_folder import RunFolder
from tests.damage import (
    DAMAGES,
    RUNS,
    Case,
    MadeUp,
    Readers,
    copy_folder,
    cut,
    damage,
    delete,
    flip,
    rows_in,
    table,
    without_ray,
)
from tests.error_lines import check_line

EACH = 9  # damages of each kind of run


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("damage")

    class Cases(dict):
        def __missing__(self, kind):
            return self.setdefault(kind, Case(kind, root).make())

    with without_ray():
        yield Cases()


@pytest.mark.parametrize("number", range(EACH))
@pytest.mark.parametrize("kind", RUNS)
def test_a_damaged_file_is_named_or_the_run_ends_with_the_dataset_of_the_undisturbed_one(cases, tmp_path, kind, number):
    rng, case = random.Random(f"{kind} {number}"), cases[kind]
    state = case.states[number % len(case.states)]
    copy_folder(state, tmp_path / "run")
    beside = cases[list(RUNS)[list(RUNS).index(kind) - 1]]
    others = [one for one in [*case.states, *beside.states] if one != state]
    path, how = damage(tmp_path / "run", rng, others)
    wrong, _ = case.check(tmp_path / "run", path, how)
    assert not wrong, (path, how)


@pytest.mark.parametrize("harm", DAMAGES)
@pytest.mark.parametrize("kind", ["pool", "duplicates", "slices"])  # whose records have calls one after another
def test_calls_that_are_damaged_are_made_again_and_the_dataset_is_the_same(cases, tmp_path, kind, harm):
    case, rng = cases[kind], random.Random(f"{kind} {harm.__name__}")
    beside = cases[list(RUNS)[list(RUNS).index(kind) - 1]]
    donors = [*case.calls_in(case.with_calls), *beside.calls_in(beside.states[1])]
    copy_folder(case.with_calls, tmp_path / "run")
    damaged = case.calls_in(tmp_path / "run")
    for path in damaged:
        harm(path, rng, donors)
    wrong, outcome = case.check(tmp_path / "run", damaged[0], "damaged")
    assert not wrong and outcome.code == 0
    left = RunFolder(tmp_path / "run").shards
    assert {path.name[:5] for path in left.glob("*.calls.arrow")} <= {
        path.name[:5] for path in left.glob("*.journal.arrow")
    }


@pytest.mark.parametrize("harm", [flip, delete, cut])
@pytest.mark.parametrize("name", ["shard", "rejected"])
def test_merge_inspect_report_and_export_refuse_a_damaged_shard_in_one_line(cases, tmp_path, capsys, harm, name):
    state = cases["fan_out"].states[-1]
    readers = Readers(state, tmp_path / "before")
    copy_folder(state, tmp_path / "run")
    path = getattr(RunFolder(tmp_path / "run"), name)(2)
    harm(path, random.Random(0), [])
    outcomes = readers.all(tmp_path / "run", tmp_path / "after")
    word = "lost" if harm is delete else "damaged"
    for reader in ("merge", "inspect", "report"):
        outcome, _ = outcomes[reader]
        assert (outcome.code, outcome.out) == (2, "")
        check_line(outcome.err, f"error: {path}", word, "run the same command again")
    exported, _ = outcomes["export"]
    assert exported.code == (2 if name == "shard" and harm is not delete else 0)  # the dataset has the file by itself


def test_a_lost_manifest_is_put_together_again_and_nothing_is_made_twice(cases, tmp_path):
    case = cases["fan_out"]
    copy_folder(case.states[1], tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    before, begun = Manifest.read(run), {int(path.name.partition(".")[0]) for path in run.shards.glob("[0-9]*")}
    run.manifest.unlink()
    outcome = case.command(run.path, shard_size=100)
    assert outcome.code == 0 and rows_in(run.path) == case.rows
    assert f"{run.manifest} is lost: it is rebuilt from the notes of the shards" in outcome.err
    after = Manifest.read(run)
    assert {shard for shard in before.shards if shard.index in begun} <= set(after.shards)
    assert all(after.committed[index] == summary for index, summary in before.committed.items())
    assert MadeUp.calls < case.calls / 2


def test_shards_of_another_run_without_their_manifest_are_not_written_over(cases, tmp_path):
    case = cases["pool"]
    copy_folder(case.states[-1], tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    run.manifest.unlink()
    outcome = case.command(run.path, seed=7)
    assert outcome.code == 2
    expected = r"error: .*/run/shards/\d+\.json: is of another run, whose manifest\.json is lost\n"
    assert re.fullmatch(expected, outcome.err), outcome.err
    assert rows_in(run.path) == case.rows


def test_calls_that_a_kill_left_beside_their_committed_shard_go_when_the_run_goes_on(cases, tmp_path):
    case = cases["slices"]
    copy_folder(case.with_calls, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    run.calls(min(Manifest.read(run).committed)).write_bytes(case.calls_in(run.path)[0].read_bytes())
    assert case.command(run.path).code == 0
    assert rows_in(run.path) == case.rows and not case.calls_in(run.path)


@pytest.mark.parametrize("harm", [flip, delete, cut])
def test_what_lost_decisions_of_a_pool_let_through_is_made_again_by_an_engine_that_says_something_else(
    cases, tmp_path, monkeypatch, harm
):
    """Where an engine never answers the same, tasks are unlike each other only if all were held against one pool."""
    case = cases["pool"]
    copy_folder(case.states[1], tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    harm(run.pool, random.Random(3), [])
    salts = itertools.count(1)
    monkeypatch.setattr(MadeUp, "salt", property(lambda engine: next(salts)))
    outcome = case.command(run.path)
    assert outcome.code == 0, outcome
    assert run.pool.name in outcome.err
    novelty = Novelty(0.7, (seed.instruction for seed in read_seeds(SHIPPED)))
    tasks = {}
    for index in Manifest.read(run).committed:
        for row in [*table(run.shard(index)).to_pylist(), *table(run.rejected(index)).to_pylist()]:
            if row.get("rejected_by") != "tasks" and row["instruction"]:  # else no pool has accepted it
                place = tuple(map(int, row["id"].split("/")))[:2]
                tasks.setdefault(place, row.get("task") or row["instruction"])
    for _, task in sorted(tasks.items()):
        assert novelty.is_novel(task), task
        novelty.add(task)


def test_a_finished_run_does_without_its_pool(cases, tmp_path):
    case = cases["pool"]
    copy_folder(case.states[-1], tmp_path / "run")
    RunFolder(tmp_path / "run").pool.unlink()
    outcome = case.command(tmp_path / "run")
    assert (outcome.code, MadeUp.calls) == (0, 0)
    assert rows_in(tmp_path / "run") == case.rows


def test_leftovers_of_killed_processes_go_and_a_dataset_that_one_had_put_aside_is_back(cases, tmp_path):
    case = cases["fan_out"]
    copy_folder(case.states[-1], tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for name in (".manifest.json.host.12", ".config.yaml.host.3", "shards/.00001.json.host.4"):
        (run.path / name).write_text("half")
    (run.path / ".mine.12").write_text("a user's")
    run.dataset.rename(run.path / ".dataset.former")
    assert case.command(run.path).code == 0
    hidden = {path.name for path in run.path.rglob(".*")}
    assert hidden == {".lock", ".dataset.lock", ".mine.12"}
    assert rows_in(run.path) == case.rows
