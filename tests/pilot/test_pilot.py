"""The door of a pilot: what it tries, refuses, prints and leaves behind."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from synth.engines import Unavailable
from synth.engines.simulated import Simulated
from synth.models.model import Model
from synth.pilot.__main__ import main
from synth.pilot.grid import has_default_system_prompt, own_grid, trials
from synth.report.comparison import Comparison
from synth.report.run_data import Run
from synth.resumption.opening import opened
from synth.trials.side_by_side import SharedEngine, SideBySide, plan

FAST = ["+strategy=magpie", "engine=simulated", "engine.tokens_per_second=20000", "engine.first_token_s=0.001"]
TEMPERATURE, TOP_P = "strategy.magpie.instruction.temperature", "strategy.magpie.instruction.top_p"
ALONE = [f"{TOP_P}=1.0", "model.default_system_prompt=keep"]  # keys that are named are not varied


@pytest.fixture
def no_engine(monkeypatch):
    """From here on none can be started."""

    async def start(self):
        raise Unavailable("no server answers")

    return lambda: monkeypatch.setattr(Simulated, "start", start)


@pytest.fixture
def refusal(capsys, no_engine, tmp_path):
    """What is said of a bad command line, which starts no engine and leaves nothing behind."""

    def refusal(*words):
        no_engine()
        assert main([*FAST, *words]) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith("error: ") and err.count("\n") == 1
        assert not list(tmp_path.iterdir())
        return err.removeprefix("error: ").strip()

    return refusal


def own(words):
    return [trial.own for trial in trials(words)]


def test_instructions_are_drawn_in_all_combinations_of_temperature_and_top_p_unasked():
    found = own(FAST)
    temperatures = list(dict.fromkeys(one[TEMPERATURE] for one in found))
    assert found == [{TEMPERATURE: temperature, TOP_P: top_p} for temperature in temperatures for top_p in ("0.9", "1")]
    assert {"0.7", "1"} <= set(temperatures)


def test_keys_with_several_values_are_tried_and_keys_that_are_named_are_not_varied():
    key = "strategy.magpie.response.max_tokens"
    assert own([*FAST, *ALONE, f"{TEMPERATURE}=0.8", f"{key}=64,128"]) == [{key: "64"}, {key: "128"}]


def test_a_list_is_one_value_of_a_key_that_takes_lists():
    key = "strategy.magpie.system_prompts"
    words = [*FAST, *ALONE, f"{TEMPERATURE}=0.8", f"{key}=[Be brief.,Be kind.],[Be long.]"]
    assert [len(trial.config.strategy.steps[0].function.system_prompts) for trial in trials(words)] == [2, 1]


def test_what_is_configured_is_among_what_is_tried():
    (trial,) = trials([*FAST, f"{TEMPERATURE}=0.3", f"{TOP_P}=0.5"])
    assert own_grid(trial.config) == {TEMPERATURE: ["0.3", "0.7", "1"], TOP_P: ["0.5", "0.9", "1"]}


def test_the_default_system_prompt_is_varied_where_the_template_has_one(real_model_folder):
    assert has_default_system_prompt(Model(path=str(real_model_folder)))
    assert not has_default_system_prompt(Model(path="demo"))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("nm_records=5", "nm_records: no such key; did you mean 'num_records'?"),
        ("slice=0/2", "slice: is for a run; leave it out of a pilot"),
        ("engine.max_num_seqs=1,2", "engine.max_num_seqs: needs a single value, since a pilot loads one engine for all "
         "trials; use python -m synth.run --multirun to try several"),
        ("model.path=demo,/nope", "model.path: there is no folder '/nope'; a Hub name has the form ORGANIZATION/MODEL"),
        (f"{TEMPERATURE}=[0.7,1.0]", f"{TEMPERATURE}: must be a valid number, got [0.7, 1.0]; write values to try "
         f"one after another as {TEMPERATURE}=0.7,1.0"),
    ],
)  # fmt: skip
def test_a_bad_word_is_refused_in_one_line_before_an_engine_is_loaded(refusal, word, expected):
    assert refusal(word) == expected


def test_a_page_of_somebody_elses_is_refused_before_an_engine_is_loaded(no_engine, capsys):
    Path("mine").mkdir()
    Path("mine/pilot.html").write_text("my own")
    no_engine()
    assert main([*FAST, "output_dir=mine"]) == 2
    assert "mine/pilot.html can't be written (it exists and was not written by this command" in capsys.readouterr().err
    assert [str(path) for path in Path().rglob("*")] == ["mine", "mine/pilot.html"]


def test_a_dry_run_shows_the_grid_and_the_most_tokens(capsys, tmp_path):
    assert main([*FAST, *ALONE, f"{TEMPERATURE}=0.7,1.0", "dry_run=true", "num_records=10"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output == [
        "folder    pilots/magpie-synth-demo",
        "model     synth-demo",
        "trials    2 of 10 records each",
        "tokens    at most 61,440 generated in all",
        f"A         {TEMPERATURE}=0.7",
        f"B         {TEMPERATURE}=1.0",
    ]
    assert not list(tmp_path.iterdir())


def test_a_pilot_tells_what_came_of_each_trial_and_leaves_one_folder(capsys, tmp_path, no_engine):
    words = [*FAST, *ALONE, "num_records=6", "strategy.magpie.response.max_tokens=40,4000"]
    assert main([*words, f"{TEMPERATURE}=0.9"]) == 0
    output = capsys.readouterr().out
    heading, *rows = output.partition("answers")[2].splitlines()[1:4]
    assert heading.split()[:3] == ["max_tokens", "rows", "kept"]
    assert [row.split()[:4] for row in rows] == [["A", "40", "6", "100%"], ["*B", "4000", "6", "100%"]]
    assert output.count("0 user: ") == 2
    assert "  strategy.magpie.response.max_tokens=4000\n" in output
    assert f"python -m synth.run {' '.join([*FAST, *ALONE])} {TEMPERATURE}=0.9 strategy.magpie.response." in output
    folder = tmp_path / "pilots" / "magpie-synth-demo"
    assert [str(path) for path in tmp_path.iterdir()] == [str(tmp_path / "pilots")]
    trial = "strategy.magpie.response.max_tokens"
    assert {path.name for path in folder.iterdir()} == {"pilot.html", f"{trial}=40", f"{trial}=4000"}
    page = (folder / "pilot.html").read_text()
    assert "<code>strategy.magpie.response.max_tokens=4000</code>" in page and "comparison of 2 runs" in page

    no_engine()  # and none is needed for what is there
    assert main([*words, f"{TEMPERATURE}=0.9"]) == 0
    assert capsys.readouterr().out == output


def test_trials_share_the_engine_of_a_reward_model_too(tmp_path):
    reward = "+strategy.reward={_target_:synth.quality.reward.Reward,model:rm}"
    words = ["strategy.steps=[magpie,reward]", reward, "+models.rm.path=demo", "num_records=6"]
    words += ["+models.rm.engine={_target_:tests.pooling_engines.FakePooling}", f"{TEMPERATURE}=0.7,0.9"]
    assert main([*FAST, *ALONE, *words]) == 0
    for trial in ("0.7", "0.9"):
        folder = tmp_path / "pilots" / "magpie-synth-demo" / f"{TEMPERATURE}={trial}"
        assert [row["reward"] > 0 for row in Run.open(folder).rows("kept", 6)] == [True] * 6


def test_an_engine_that_can_not_be_loaded_is_one_line_and_leaves_nothing(capsys, tmp_path, no_engine):
    no_engine()
    assert main([*FAST, *ALONE, f"{TEMPERATURE}=0.9"]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["failed: no server answers"]
    assert not list(tmp_path.iterdir())


def test_records_of_all_trials_are_in_the_engine_together(tmp_path):
    class Counted(Simulated):
        """Notes which trials have requests in it."""

        seen, running = set(), []

        async def generate(self, prompt, sampling):
            self.running.append(sampling.max_tokens)
            self.seen.add(frozenset(self.running))
            try:
                return await super().generate(prompt, sampling)
            finally:
                self.running.remove(sampling.max_tokens)

    key = "strategy.magpie.instruction.max_tokens"
    engine = Counted(tokens_per_second=20000, max_num_seqs=4)
    asyncio.run(side_by_side(engine, [*FAST, *ALONE, f"{TEMPERATURE}=0.9", f"{key}=100,200,300", "num_records=20"]))
    assert any(one >= {100, 200, 300} for one in engine.seen)


async def side_by_side(engine, words, started=False):
    if not started:
        await engine.start()
    found = trials(words)
    with ExitStack() as stack:
        places = [stack.enter_context(opened(trial.config)) for trial in found]
        for trial, place in zip(found, places, strict=True):
            plan(place, trial.config.settings.num_records)
            place.begin()
        await SideBySide(
            SharedEngine(engine), [(one.config, place) for one, place in zip(found, places, strict=True)]
        ).run()
        return Comparison.of([Run.open(place.folder.path) for place in places])


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.asyncio(loop_scope="session")
async def test_a_real_model_writes_fewer_instructions_to_their_end_without_its_default_system_prompt(
    real_engine, real_model_folder, tmp_path
):
    words = ["+strategy=magpie", f"model.path={real_model_folder}", "num_records=20"]
    words += [f"{TEMPERATURE}=0.7", f"{TOP_P}=1.0", "strategy.magpie.instruction.max_tokens=80"]
    words += ["strategy.magpie.response.max_tokens=8", f"output_dir={tmp_path}/pilot"]
    kept, dropped = (await side_by_side(real_engine, words, started=True)).found
    assert kept.shares["asked_ended"] > dropped.shares["asked_ended"]


@pytest.mark.vllm
@pytest.mark.slow
def test_a_server_that_is_running_already_may_be_asked(openai_server, capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", openai_server.key)
    server = ["engine=openai", f"engine.base_url={openai_server.base_url}", "model.dtype=float32"]
    assert main(["+strategy=magpie", *server, *ALONE, f"{TEMPERATURE}=0.7,1.0", "num_records=4"]) == 0
    table = capsys.readouterr().out.partition("temperature  rows")[2].splitlines()
    assert [line.lstrip("*").split()[:3] for line in table[1:3]] == [["A", "0.7", "4"], ["B", "1.0", "4"]]
