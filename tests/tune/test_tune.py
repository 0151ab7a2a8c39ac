"""The door of a tune: what it measures, refuses, prints and leaves behind."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from synth.tune.__main__ import main
from synth.tune.candidate import Measured
from synth.tune.grid import planned, unasked
from synth.tune.outcome import Outcome, best, table, write_preset
from synth.tune.speed import Sample

FAST = ["+strategy=magpie", "engine=simulated", "engine.tokens_per_second=1000", "num_records=60"]


def own(words):
    return [trial.own for trial in planned(words).candidates]


def samples(rate):
    return [Sample(0, 0, 0, 4), Sample(1, rate, 1, 4)]


def test_the_batch_is_varied_unasked_around_what_is_configured():
    assert unasked({"max_num_seqs": 256, "max_num_batched_tokens": 8192}, set()) == {
        "engine.max_num_seqs": ["64", "256", "1024"],
        "engine.max_num_batched_tokens": ["8192", "16384"],
    }
    assert unasked({"max_num_seqs": 2, "max_num_batched_tokens": 8192}, {"engine.max_num_batched_tokens"}) == {
        "engine.max_num_seqs": ["1", "2", "8"]
    }


def test_keys_with_several_values_take_the_place_of_what_is_varied_unasked():
    assert own([*FAST, "engine.first_token_s=0.1,0.2"]) == [
        {"engine.first_token_s": "0.1"},
        {"engine.first_token_s": "0.2"},
    ]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("seed=1,2", "seed: needs a single value, since a tune varies settings of the engine only; use "
         "python -m synth.pilot to try several"),
        ("minuts=3", "minuts: no such key; did you mean 'minutes'?"),
        ("minutes=soon", "minutes: must be a number above 0, got 'soon'"),
        ("slice=0/2", "slice: is for a run; leave it out of a tune"),
        ("engine.max_num_seqs=[4,8]", "engine.max_num_seqs: must be a whole number, got [4, 8]; write values to try "
         "one after another as engine.max_num_seqs=4,8"),
    ],
)  # fmt: skip
def test_a_bad_word_is_refused_in_one_line_before_an_engine_is_started(capsys, tmp_path, word, expected):
    assert main([*FAST, word]) == 2
    assert capsys.readouterr() == ("", f"error: {expected}\n")
    assert not list(tmp_path.iterdir())


def test_a_file_of_somebody_elses_is_refused_before_an_engine_is_started(capsys):
    Path("mine").mkdir()
    Path("mine/engine.yaml").write_text("my own")
    assert main([*FAST, "output_dir=mine", "engine.max_num_seqs=4"]) == 2
    assert "mine/engine.yaml can't be written (it exists and was not written by this command" in capsys.readouterr().err
    assert [str(path) for path in Path().rglob("*")] == ["mine", "mine/engine.yaml"]


def test_a_dry_run_shows_the_engines_and_the_most_minutes(capsys, tmp_path):
    assert main([*FAST, "engine.max_num_seqs=4,8", "minutes=3", "dry_run=true"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "folder    tunes/magpie-synth-demo",
        "model     synth-demo",
        "engines   2 engine(s) one after another, each measured on 60 records or for 3 minute(s): at most 6 minutes in "
        "all, plus 2 starts",
        "A         engine.max_num_seqs=4",
        "B         engine.max_num_seqs=8",
    ]
    assert not list(tmp_path.iterdir())


def test_a_tune_finds_the_faster_engine_and_writes_it_as_a_file_that_a_run_takes(capsys, tmp_path):
    assert main([*FAST, "engine.max_num_seqs=2,8", "minutes=0.2"]) == 0
    out = capsys.readouterr().out
    heading, slow, fast = (line.split() for line in out.splitlines()[1:4])
    assert heading == ["max_num_seqs", "start", "at", "once", "preempted", "tokens/s", "kept/s"]
    assert (slow[:2], fast[:2]) == (["A", "2"], ["*B", "8"])
    assert "  python -m synth.run +strategy=magpie engine=tunes/magpie-synth-demo/engine.yaml\n" in out
    folder = tmp_path / "tunes/magpie-synth-demo"
    assert [path.name for path in folder.iterdir()] == ["engine.yaml"]
    assert OmegaConf.load(folder / "engine.yaml").max_num_seqs == 8


def test_an_engine_that_is_refused_is_a_line_of_the_table():
    (trial,) = planned([*FAST, "engine.max_num_seqs=4"]).candidates
    outcomes = [Outcome(trial, Measured(refused="vLLM refuses it")), Outcome(trial, Measured(2.0, samples(100), True))]
    assert best(outcomes) == 1
    _, first, second = table(outcomes, 1)
    assert first.split() == ["A", "–", "vLLM", "refuses", "it"]
    assert second.split() == ["*B", "2", "s", "4", "–", "100", "1"]


def test_an_engine_of_two_gpus_has_to_be_twice_as_fast(monkeypatch):
    (trial,) = planned([*FAST, "engine.max_num_seqs=4"]).candidates
    one, two = (Outcome(trial, Measured(2.0, samples(rate), True)) for rate in (100, 150))
    monkeypatch.setattr(Outcome, "gpus", property(lambda outcome: 2.0 if outcome is two else 1.0))
    assert best([one, two]) == 0
    heading, _, second = table([one, two], 0)
    assert "tokens/s  a GPU" in heading and second.split()[-3:] == ["150", "75", "1"]


def test_nothing_that_could_be_measured_is_no_best():
    (trial,) = planned([*FAST, "engine.max_num_seqs=4"]).candidates
    assert best([Outcome(trial, Measured(refused="no memory")), Outcome(trial, Measured(1.0, [], True))]) is None


def test_a_file_that_it_wrote_is_written_again(tmp_path):
    (trial,) = planned([*FAST, "engine.max_num_seqs=4"]).candidates
    for rate in (100, 200):
        write_preset(tmp_path / "engine.yaml", Outcome(trial, Measured(1.0, samples(rate), True)), "engine=simulated")
    assert (tmp_path / "engine.yaml").read_text().startswith("# By synth.tune for synth-demo: 200 tokens/s here, by")


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_is_measured_and_what_it_refuses_is_said(capsys):
    words = ["+strategy=magpie", "num_records=60", "engine.max_num_seqs=8,16", "engine.kv_cache_gib=1"]
    words += ["strategy.magpie.response.max_tokens=64", "engine.kv_cache_dtype=auto,nonsense"]
    assert main(words) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:6]]
    assert [row[1:3] for row in rows] == [["8", "auto"], ["8", "nonsense"], ["16", "auto"], ["16", "nonsense"]]
    assert [("vLLM refuses the configuration" in " ".join(row)) for row in rows] == [False, True, False, True]
    assert OmegaConf.load("tunes/magpie-synth-demo/engine.yaml").kv_cache_dtype == "auto"
