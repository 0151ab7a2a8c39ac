"""The door of a run: what is wrong is said in one line, with exit code 2, before anything is loaded."""

import json
import logging
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest

import synth
from synth.run import main
from tests.error_lines import check_line

HEAVY = ["ray", "vllm", "torch", "transformers", "datasets"]
PLUS = "none is chosen yet, and the first one needs a plus sign"
GOOD = ["+strategy=magpie", "model=qwen3-8b"]


class FakeJob(SimpleNamespace):
    """In place of synth.job: keeps the configurations that it is asked to run, and ends with `codes`."""

    def __init__(self):
        super().__init__(configs=[], codes=[])

    def run(self, config):
        self.configs.append(config)
        result = self.codes.pop(0) if self.codes else 0
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
def job(monkeypatch):
    fake = FakeJob()
    monkeypatch.setattr(synth, "job", fake, raising=False)
    monkeypatch.setitem(sys.modules, "synth.job", fake)
    return fake


@pytest.fixture
def refusal(job, capsys):
    """What is said of bad arguments, without its `error: `."""

    def refusal(*arguments):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert not out and not job.configs
        assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1
        return err.removeprefix("error: ").strip()

    return refusal


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("nm_records=5", "nm_records: no such key; did you mean 'num_records'?"),
        ("+nm_records=5", "nm_records: no such key; did you mean 'num_records'?"),
        ("+num_records=5", "num_records: exists already; leave out the plus sign"),
        ("num_records=abc", "num_records: must be a whole number or 'all', got 'abc'"),
        ("num_records=0", "num_records: must be at least 1 or 'all', got 0"),
        (
            "num_records=1,2",
            "num_records: write a list as [a,b]; a sweep over several values needs --multirun; "
            "quote a text with commas twice, once for the shell",
        ),
        ("~num_records", "num_records: is missing"),
        ("seed=???", "seed: is missing"),
        ("seed=${nope}", "seed: Interpolation key 'nope' not found"),
        ("output_dir=${nope:1}", "output_dir: Unsupported interpolation type nope"),
        ("resume=sometimes", "resume: must be 'auto', 'never' or 'force', got 'sometimes'"),
        ("model=qwen", "model: there is no 'qwen'; did you mean 'qwen3-8b'?"),
        (
            "model=Qwen/Qwen3-8B",
            "model: is for files of conf/model; set model.path=Qwen/Qwen3-8B for a folder or a name on the Hub",
        ),
        (
            "output_dir=s3://b/x",
            "output_dir: must be a local folder; set publish=s3://b/x to have its rows there as they are made, "
            "got 's3://b/x'",
        ),
        ("+model=demo", "model: is chosen twice; to choose another option, leave out the plus sign or one of them"),
        ("model.dtype=float23", "model.dtype: must be 'auto', 'bfloat16', 'float16' or 'float32', got 'float23'"),
        ("model.nme=x", "model.nme: no such key; did you mean 'model.name'?"),
        ("model.path=/nope", "model.path: there is no folder '/nope'; a Hub name has the form ORGANIZATION/MODEL"),
        ("engine=vlm", "engine: there is no 'vlm'; did you mean 'vllm'?"),
        (
            "engine=null",
            "engine: has no choice null; choose from openai, openai_chat, simulated, transformers, vllm, vllm_pooling",
        ),
        ("engine.max_num_sequences=4", "engine.max_num_sequences: no such key; did you mean 'engine.max_num_seqs'?"),
        ("engine.max_num_seqs=many", "engine.max_num_seqs: must be a whole number or 'auto', got 'many'"),
        ("cluster.replicas=0", "cluster.replicas: must be at least 1 or 'auto', got 0"),
        ("source=nope", "source: there is no 'nope'; did you mean 'none'?"),
        ("hydra.nope=1", "hydra.nope: no such key"),
        ("hydra/launcher=nope", "hydra/launcher: there is no 'nope'; choose from basic"),
        ("foo", "'foo' sets nothing; write key=value"),
        ("magpie", "'magpie' sets nothing; write key=value; did you mean +strategy=magpie?"),
        ("=3", "'=3' has no key; write key=value"),
        ("", "'' sets nothing; write key=value"),
        ("--multi-run", "--multi-run: no such option; did you mean '--multirun'?"),
    ],
)
def test_a_bad_word_is_refused_in_one_line_that_names_it(refusal, override, expected):
    assert refusal(*GOOD, override) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("n_trns=2", "n_trns: no such key; did you mean 'strategy.magpie.n_turns'?"),
        ("instruction.temprature=1", "instruction.temprature: no such key; did you mean 'strategy.magpie.instruction."),
        ("instruction.temperature=-1", "instruction.temperature: must be at least 0, got -1"),
        ("system_prompts=[{text: x, wieght: 2}]", "system_prompts[0].wieght: no such key; did you mean 'weight'?"),
        ("_target_=synth.steps.magpie.Magpi", "_target_: 'synth.steps.magpie' has no class or function 'Magpi'; did"),
        ("response.stop=5", "response.stop: must be a valid tuple, got 5"),
    ],
)
def test_a_bad_key_of_a_step_is_refused(refusal, key, expected):
    assert refusal(*GOOD, f"strategy.magpie.{key}").startswith(f"strategy.magpie.{expected}")


def test_a_typo_that_is_added_with_a_plus_is_found_all_the_same(refusal):
    error = refusal(*GOOD, "+strategy.magpie.instruction.temprature=1")
    check_line(error, "strategy.magpie.instruction.temprature", "no such key", "did you mean 'temperature'?")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "strategy: none is chosen; add one of batch, code_reasoning, constraints, "),
        (["+strategy=magpy"], "strategy: there is no 'magpy'; did you mean 'magpie'?"),
        (["+strategy=null"], "strategy: has no choice null; choose from batch, code_reasoning, constraints, "),
        (["strategy=magpie_math"], f"strategy: {PLUS}: +strategy=magpie_math"),
        (["strategy=magpy"], f"strategy: {PLUS}: +strategy=magpie"),
        (
            ["strategy.magpie.n_turns=2"],
            "strategy.magpie.n_turns: no strategy is chosen; choose from batch, code_reasoning, constraints, ",
        ),
        (["nm_records=5"], "nm_records: no such key; did you mean 'num_records'?"),
        (["+strategy=magpie", "+strategy=magpie_math"], "strategy: is chosen twice; "),
        (["+strategy=magpie,magpie_math"], "strategy: write a list as [a,b]; a sweep over "),
        (["--config-name=nope", "+strategy=magpie"], "--config-name: there is no 'nope'"),
        (["--config-dir=/nope", "+strategy=magpie"], "Additional config directory '/nope' not found"),
        (["--cfg", "jobs"], "argument --cfg/-c: invalid choice: 'jobs'"),
        (["--multirun", "+strategy=magpie,magpy"], "strategy: there is no 'magpy'; did you mean 'magpie'?"),
        (["--multirun", "+strategy=magpie", "nm_records=1,2"], "nm_records: no such key; did you mean 'num_records'?"),
    ],
)
def test_bad_arguments_are_refused(refusal, arguments, expected):
    assert refusal(*arguments).startswith(expected)


@pytest.mark.parametrize("value", ["[1,", "'x", "${", "{a:", '"'])
def test_a_value_that_hydra_cannot_read_is_refused_with_advice_on_quotes(refusal, value):
    assert refusal(*GOOD, f"output_dir={value}").startswith(f"output_dir: can't read {f'output_dir={value}'!r}, ")


def test_the_first_of_several_mistakes_is_told(refusal):
    assert refusal(*GOOD, "nm_records=5", "model.nme=1").startswith(
        "nm_records: no such key; did you mean 'num_records'"
    )


@pytest.mark.parametrize("value", ['"été 1"', "'a b'", "a\\ b", "runs/x_1-2"])
def test_quoted_values_are_taken(job, value):
    assert main([*GOOD, f"output_dir={value}"]) == 0
    assert str(job.configs[0].settings.output_dir) in ("été 1", "a b", "runs/x_1-2")


def test_a_good_configuration_is_run_and_its_exit_code_given_back(job):
    job.codes = [3]
    assert main([*GOOD, "num_records=7"]) == 3
    assert job.configs[0].settings.num_records == 7


def test_the_users_arguments_are_left_as_they_were(job):
    before = list(sys.argv)
    main(GOOD)
    assert sys.argv == before


def test_a_key_whose_value_does_not_go_with_others_is_a_key(job, capsys):
    assert main(["+strategy=magpie_filtered", "strategy.magpie.n_turns=2"]) == 2
    expected = "strategy.magpie: only_instruction draws one user message: it can't be combined with n_turns > 1"
    assert capsys.readouterr().err == f"error: {expected}\n"


def test_a_dry_run_prints_the_plan(job, capsys):
    assert main([*GOOD, "dry_run=true"]) == 0
    assert "100 to keep" in capsys.readouterr().out
    assert not job.configs


def test_a_dry_run_shows_how_each_call_is_drawn_under_the_key_that_sets_it(job, capsys):
    words = ["strategy.preference.judge.sampling.max_tokens=99", "strategy.magpie.instruction.stop=[x]"]
    words.append("strategy.preference.responses.repetition_detection=false")
    assert main(["+strategy=preference", *GOOD[1:], *words, "dry_run=true"]) == 0
    output = capsys.readouterr().out
    assert "magpie.instruction: temperature 0.9, top_p 1.0, max_tokens 1024, stop ('x',)\n" in output
    drawn = "temperature 0.7, top_p 1.0, max_tokens 2048, repetition_detection false (4 times)"
    assert f"preference.responses: {drawn}\n" in output
    assert "preference.judge.sampling: temperature 0.0, top_p 1.0, max_tokens 99, model judge (4 times)\n" in output


def test_a_dry_run_refuses_a_chat_template_that_the_strategy_can_not_use(job, tmp_path, capsys):
    (tmp_path / "mute.jinja").write_text("{{ bos_token }}")
    words = ["+strategy=magpie", f"model.chat_template={tmp_path / 'mute.jinja'}", "dry_run=true"]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("error: model: no pre-query prompt can be derived: ")


def test_a_dry_run_says_that_a_model_is_not_here_yet(job, capsys):
    assert main(["+strategy=magpie", "model.path=nobody/has-this", "dry_run=true"]) == 0
    assert "nobody/has-this, VLLM; not on this machine yet, so" in capsys.readouterr().out


def test_what_a_job_refuses_is_one_line_too(job, capsys):
    from synth.errors import ConfigError

    job.codes = [ConfigError("output_dir: another run\nis in it")]
    assert main(GOOD) == 2
    assert capsys.readouterr().err == "error: output_dir: another run is in it\n"


def test_a_fault_of_the_program_keeps_its_traceback(job):
    job.codes = [ZeroDivisionError("oh")]
    with pytest.raises(ZeroDivisionError):
        main(GOOD)


def test_a_sweep_has_a_folder_for_each_run(job):
    assert main(["--multirun", "+strategy=magpie,magpie_math", "model=qwen3-8b", "seed=1", "output_dir=all"]) == 0
    folders = [str(config.settings.output_dir) for config in job.configs]
    assert folders == [f"all/+strategy={name}" for name in ("magpie", "magpie_math")]
    assert [config.resolved["output_dir"] for config in job.configs] == folders


def test_a_sweep_ends_with_the_highest_code_of_its_runs(job):
    job.codes = [3, 0]
    assert main(["--multirun", *GOOD, "seed=1,2"]) == 3


def test_a_sweep_that_is_stopped_starts_no_further_run(job):
    job.codes = [75]
    assert main(["--multirun", *GOOD, "seed=1,2"]) == 75
    assert len(job.configs) == 1


def test_a_sweep_ends_at_the_first_bad_configuration(job, capsys):
    assert main(["--multirun", *GOOD, "num_records=0,5"]) == 2
    check_line(capsys.readouterr().err, "error: num_records", "at least 1", "'all'", "0")
    assert not job.configs


def test_help_names_the_choices_and_the_first_keys(job, capsys):
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "model: deepseek-r1-distill-llama-70b, " in shown and "qwen2.5-7b-instruct, qwen3-0.6b" in shown
    assert "num_records=100" in shown


@pytest.fixture
def loggers_as_before():
    """`--info` makes Hydra log to the terminal as it is then, for the rest of the process."""
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize(
    "arguments", [["--cfg", "job"], ["--cfg", "job", "--resolve"], ["--info", "defaults"], ["--info"]]
)
def test_hydras_own_options_work(job, capsys, loggers_as_before, arguments):
    assert main([*GOOD, *arguments]) == 0
    assert "magpie" in capsys.readouterr().out
    assert not job.configs


@pytest.fixture
def users_own(job, tmp_path, monkeypatch):
    """A folder with a step and a strategy of the user's, and a primary configuration that has another one."""
    (tmp_path / "own_steps.py").write_text("async def shout(record, llm, volume: int = 1):\n    return record\n")
    (tmp_path / "mine" / "strategy").mkdir(parents=True)
    (tmp_path / "mine" / "strategy" / "loud.yaml").write_text("steps:\n  - _target_: own_steps.shout\n    volume: 3\n")
    (tmp_path / "mine" / "strategy" / "torn.yaml").write_text("steps: [\n  - {\n")
    (tmp_path / "mine" / "whole.yaml").write_text(
        "defaults: [config, _self_]\nnum_records: 9\nstrategy: {steps: [{_target_: own_steps.shout}]}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_steps", None)


def test_a_strategy_of_the_users_is_found_and_called_as_its_file(users_own, job):
    assert main(["--config-dir=mine", "+strategy=loud", "model=qwen3-8b"]) == 0
    assert job.configs[0].strategy.name == "loud"
    assert str(job.configs[0].settings.output_dir) == "runs/loud"
    assert job.configs[0].strategy.steps[0].function.keywords == {"volume": 3}


def test_a_primary_configuration_of_the_users_can_have_a_strategy_in_it(users_own, job):
    assert main(["--config-dir=mine", "--config-name=whole", "model=qwen3-8b"]) == 0
    assert job.configs[0].settings.num_records == 9


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["+strategy=lod"], "strategy: there is no 'lod'; did you mean 'loud'?"),
        (["model=qwen3-8b"], "strategy: none is chosen; add one of batch, code_reasoning, constraints, "),
        (["+strategy=loud", "nm_records=5"], "nm_records: no such key; did you mean 'num_records'?"),
        (["--config-name=whole", "nm_records=5"], "nm_records: no such key; did you mean 'num_records'?"),
        (["--config-name=whole", "model.nme=5"], "model.nme: no such key; did you mean 'model.name'?"),
    ],
)
def test_a_mistake_beside_the_users_own_configuration_is_refused(users_own, refusal, arguments, expected):
    assert refusal("--config-dir=mine", *arguments).startswith(expected)


def test_a_file_that_is_no_yaml_is_named_with_its_line(users_own, refusal, tmp_path):
    error = refusal("--config-dir=mine", "+strategy=torn")
    assert error.startswith(f"{tmp_path}/mine/strategy/torn.yaml: line 2 is not YAML: ")


def test_refusing_loads_nothing_heavy(tmp_path):
    lines = [["+strategy=magpy"], [*GOOD, "nm_records=5"], [*GOOD, "engine.max_num_seqs=x"], [*GOOD, "model.path=/no"]]
    code = f"""if True:
        import sys
        from synth.run import main
        assert [main(words) for words in {lines!r}] == [2, 2, 2, 2]
        import json
        print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_the_program_refuses_within_five_seconds_and_leaves_nothing_behind(tmp_path):
    start = used_by_children()
    words = [sys.executable, "-m", "synth.run", *GOOD, "engine.max_num_sequences=4"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert used_by_children() - start < 5
    assert (done.returncode, done.stdout) == (2, "")
    check_line(done.stderr, "error: engine.max_num_sequences", "no such key", "did you mean 'engine.max_num_seqs'?")
    assert not list(tmp_path.iterdir())


def used_by_children() -> float:
    """Seconds of CPU, which other processes on the machine don't lengthen."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment():
    root = os.path.dirname(os.path.dirname(synth.__file__))
    return os.environ | {"PYTHONPATH": root}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["repetition.linse=0.2"], "repetition.linse: no such key; did you mean 'strategy.repetition.lines'?"),
        (
            ["repetitoin.lines=0.2"],
            "repetitoin: is neither a key of a strategy nor a step with a _target_; did you mean",
        ),
        (["repetition.lines=x", "respond.sampling.seed=1"], "repetition.lines: must be a valid number, got 'x'"),
        (["respond.sampling.max_token=5"], "respond.sampling.max_token: no such key; did you mean 'strategy.respond.s"),
    ],
)
def test_a_bad_key_that_no_file_names_is_refused_as_any_other(refusal, keys, expected):
    words = [f"strategy.{key}" for key in keys]
    assert refusal("+strategy=magpie_filtered", "model=qwen3-8b", *words).startswith(f"strategy.{expected}")


def test_every_key_of_a_component_is_set_without_a_plus_sign(job):
    words = [
        "strategy.repetition.lines=0.2",
        "strategy.refusal.column=user",
        "engine.extra.watermark=0.05",
        "model.template_kwargs.a=b",
    ]
    assert main(["+strategy=magpie_filtered", *GOOD[1:], *words]) == 0
    (config,) = job.configs
    steps = {step.name: step.function for step in config.strategy.steps}
    assert (steps["repetition"].lines, steps["refusal"].column) == (0.2, "user")
    assert (config.engine.extra, config.model.template_kwargs["a"]) == ({"watermark": 0.05}, "b")


def test_a_sweep_takes_new_keys_too_and_names_folders_without_plus_signs(job):
    assert main(["--multirun", *GOOD, "strategy.magpie.instruction.stop=[a],[b]"]) == 0
    assert [config.strategy.steps[0].function.instruction.stop for config in job.configs] == [("a",), ("b",)]
    assert not any("+" in config.settings.output_dir.name for config in job.configs)


@pytest.mark.parametrize(
    "text", ["You're a pirate.", "it's 5 o'clock: (now)", "{{ 'it' }}'s, a", "été & 水!", 'Don\'t say "no"\\']
)
def test_a_text_is_taken_as_it_is(job, text):
    assert main([*GOOD, f"strategy.magpie.system_prompts={text}"]) == 0
    assert job.configs[0].strategy.steps[0].function.system_prompts[0].text == text


def test_a_text_may_come_from_a_file(job, tmp_path):
    text = "You're a pirate, {{ are }} you?\n\n${not.an.interpolation} é"
    (tmp_path / "pirate.txt").write_text(f"{text}\n")
    assert main([*GOOD, "strategy.magpie.system_prompts=[@pirate.txt,@@nobody]"]) == 0
    (config,) = job.configs
    assert [prompt.text for prompt in config.strategy.steps[0].function.system_prompts] == [text, "@nobody"]
    assert config.resolved["strategy"]["magpie"]["system_prompts"] == [text, "@nobody"]


def test_a_file_of_a_text_that_can_not_be_read_is_named(refusal, tmp_path):
    error = refusal(*GOOD, "strategy.magpie.system_prompts=@nope.txt")
    assert error.startswith(
        "strategy.magpie.system_prompts: the file 'nope.txt' can't be read: No such file or directory"
    )
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    assert "it is not UTF-8 text" in refusal(*GOOD, "strategy.magpie.system_prompts=@latin.txt")


def test_a_text_with_commas_is_told_how_to_come(refusal):
    error = refusal(*GOOD, "strategy.magpie.system_prompts=Be kind, please")
    assert error.endswith("quote a text with commas twice, once for the shell, or read it from a file: "
                         "strategy.magpie.system_prompts=@FILE")  # fmt: skip
