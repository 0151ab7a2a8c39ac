"""A late step of a chain is edited: the answers of the steps before it are taken over from the run before."""

import pytest

from synth import job
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.run import main
from synth.storage.run_folder import RunFolder
from tests.damage import MadeUp, rows_in, run, without_ray

CHAIN = [
    "+strategy=magpie",
    "+strategy.late._target_=tests.resumption.test_reuse.Late",
    "+strategy.late.words=first",
    "strategy.steps=[${strategy.magpie},${strategy.late}]",
    "engine=simulated",
    "engine._target_=tests.damage.MadeUp",
    "cluster.records_in_flight=6",
    "num_records=12",
    "shard_size=4",
]


class Late:
    """A last step with one call of its own."""

    def __init__(self, words):
        self.words = words

    async def __call__(self, record, llm):
        answer = await llm.chat(f"{self.words}: {record['response']}", max_tokens=16)
        return record | {"response": answer.text}


@pytest.fixture(scope="module", autouse=True)
def here():
    with without_ray():
        yield


@pytest.fixture(scope="module")
def resolved():
    found = []
    assert main(CHAIN, work=lambda config: found.append(config.resolved) or 0) == 0
    return found[0]


def made(resolved, folder, late="first", **more):
    """The rows of a run, and how many calls its engine had."""
    strategy = {**resolved["strategy"], "late": {**resolved["strategy"]["late"], "words": late}}
    MadeUp.calls, MadeUp.at = 0, 10**9
    outcome = run(
        lambda given: job.run(parse(given)), resolved | {"output_dir": str(folder), "strategy": strategy} | more
    )
    assert outcome.code == 0, outcome
    return rows_in(folder), MadeUp.calls


@pytest.fixture
def first(resolved, tmp_path):
    _, calls = made(resolved, tmp_path / "first", checkpoint_calls="keep")
    assert calls >= 36
    return tmp_path / "first"


def test_only_the_edited_step_asks_and_the_rows_are_those_of_a_run_from_scratch(resolved, first, tmp_path):
    expected, calls = made(resolved, tmp_path / "scratch", late="second")
    found, further = made(resolved, tmp_path / "second", late="second", reuse=str(first))
    assert found == expected
    assert further <= calls / 3 + 6  # records that only one of the runs has begun


def test_nothing_is_asked_where_nothing_is_edited_in_whatever_shards(resolved, first, tmp_path):
    found, further = made(resolved, tmp_path / "second", reuse=str(first), shard_size=5)
    assert found == rows_in(first)
    assert further <= 6


def test_of_an_edited_step_only_the_calls_that_are_others_are_asked_again(resolved, first, tmp_path):
    magpie = {**resolved["strategy"]["magpie"], "response": {"max_tokens": 17}}
    strategy = {**resolved["strategy"], "magpie": magpie}
    edited = resolved | {"strategy": strategy}
    expected, _ = made(edited, tmp_path / "scratch")
    found, further = made(edited, tmp_path / "second", reuse=str(first))
    assert found == expected
    # This engine says the same whatever max_tokens is, so the last step's prompts are the same.
    assert 12 <= further <= 18


def test_a_run_that_took_calls_over_hands_them_on(resolved, first, tmp_path):
    made(resolved, tmp_path / "second", late="second", reuse=str(first), checkpoint_calls="keep")
    found, further = made(resolved, tmp_path / "third", late="third", reuse=str(tmp_path / "second"))
    assert found == made(resolved, tmp_path / "scratch", late="third")[0]
    assert further <= 18


def test_the_run_that_is_reused_is_left_as_it_is(resolved, first, tmp_path):
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    made(resolved, tmp_path / "second", reuse=str(first))
    assert before == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:-60] + b"x" + data[-59:]])
def test_damaged_calls_are_made_again(resolved, first, tmp_path, damage):
    for path in RunFolder(first).shards.glob("*.calls.arrow"):
        path.write_bytes(damage(path.read_bytes()))
    found, further = made(resolved, tmp_path / "second", reuse=str(first))
    assert found == rows_in(first) and further > 6


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"seed": 7}, "differ: seed was 0, is 7"),
        ({"reuse": "nowhere"}, "there is no run in nowhere"),
        ({"checkpoint_calls": False}, "leave checkpoint_calls=false out"),
    ],
)
def test_what_has_no_answers_for_it_is_refused_in_one_line(resolved, first, tmp_path, changed, expected):
    with pytest.raises(ConfigError, match=f"reuse: .*{expected}"):
        job.run(parse(resolved | {"output_dir": str(tmp_path / "second"), "reuse": str(first)} | changed))
    assert not (tmp_path / "second").exists()


def test_a_run_that_has_kept_no_calls_is_refused(resolved, tmp_path):
    made(resolved, tmp_path / "first")
    with pytest.raises(ConfigError, match="has no stored calls; run it with checkpoint_calls=keep"):
        job.run(parse(resolved | {"output_dir": str(tmp_path / "second"), "reuse": str(tmp_path / "first")}))
