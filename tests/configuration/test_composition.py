"""What a file of configuration from anywhere can't do while it is composed: run something, or carry off a secret."""

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synth import run
from synth.configuration.composition import guard_environment
from tests.configuration.test_config import plain, refusal

STEPS = "steps:\n  - _target_: synth.steps.magpie.Magpie\n"
GLOBAL = "# @package _global_\nstrategy:\n  steps:\n    - _target_: synth.steps.magpie.Magpie\nhydra:\n  "


@pytest.fixture
def main(tmp_path, capsys):
    """`main(files, *words)`: the exit code, and the line that was said. `files` are those of --config-dir."""

    def main(files, *words):
        for name, text in files.items():
            path = tmp_path / "conf" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("OWNED", str(tmp_path / "owned")))
        code = run.main(["--config-dir", str(tmp_path / "conf"), *words], lambda config: 0)
        assert not (tmp_path / "owned").exists()
        return code, capsys.readouterr().err

    return main


POPEN = "{_target_: subprocess.Popen, args: [touch, OWNED]}"


@pytest.mark.parametrize(
    ("key", "node"),
    {
        "callbacks.x": f"callbacks: {{x: {POPEN}}}",
        "job.env_set.LD_PRELOAD": "job: {env_set: {LD_PRELOAD: evil.so}}",
        "launcher._target_": "launcher: {_target_: subprocess.Popen}",
        "job_logging": "job_logging: {version: 1, handlers: {x: {class: subprocess.Popen, args: [touch, OWNED]}}}",
        "hydra_logging": "hydra_logging: {version: 1, handlers: {x: {(): subprocess.Popen, args: [touch, OWNED]}}}",
        "sweeper.params.strategy": "sweeper: {params: {strategy: 'a,b'}}",
        "sweeper.params.+hydra.job.env_set.LD_PRELOAD": "sweeper: {params: {+hydra.job.env_set.LD_PRELOAD: evil}}",
        "run.dir": "run: {dir: OWNED}",
        "output_subdir": "output_subdir: OWNED",
        "mode": "mode: MULTIRUN",
    }.items(),
)
def test_what_hydra_itself_does_is_not_for_a_file_to_say(main, key, node):
    code, error = main({"strategy/mine": GLOBAL + node}, "+strategy=mine")
    assert code == 2 and error.startswith(f"error: hydra.{key}"), error
    assert "a file sets it to" in error and error.count("\n") == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_option_of_hydras_own_groups_from_a_file_is_refused(main):
    files = {
        "strategy/mine": STEPS,
        "hydra/sweeper/basic": "_target_: subprocess.Popen\nmax_batch_size: null\nparams: null",
    }
    code, error = main(files, "+strategy=mine")
    assert code == 2 and error.startswith("error: hydra.sweeper._target_: a file sets it to 'subprocess.Popen'")


def test_each_strategy_of_a_sweep_is_looked_at(main):
    files = {"strategy/mine": STEPS, "strategy/evil": GLOBAL + f"callbacks: {{x: {POPEN}}}"}
    code, error = main(files, "--multirun", "+strategy=mine,evil", "seed=1,2")
    assert code == 2 and error.startswith("error: hydra.callbacks.x")
    assert main({}, "--multirun", "+strategy=mine,magpie", "seed=1,2")[0] == 0


def test_the_command_line_may_say_what_hydra_does(main, tmp_path):
    assert main({"strategy/mine": STEPS}, "+strategy=mine", f"hydra.run.dir={tmp_path}/hydra")[0] == 0


def test_no_secret_of_the_environment_gets_into_a_configuration(main, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    code, error = main(
        {"strategy/mine": f"{STEPS}    system_prompts: ['${{oc.env:OPENAI_API_KEY}}']"}, "+strategy=mine"
    )
    assert code == 2 and "may be a secret" in error and "canary" not in error


@pytest.mark.parametrize("text", ["${oc.env:NAME}", "${oc.env:NAME,none}", "${oc.decode:${oc.env:NAME}}"])
@pytest.mark.parametrize("name", ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_password"])
def test_a_secret_is_told_by_its_name(monkeypatch, name, text):
    monkeypatch.setenv(name, "canary")
    guard_environment()
    with pytest.raises(OmegaConfBaseException, match="may be a secret"):
        OmegaConf.to_container(OmegaConf.create({"a": text.replace("NAME", name)}), resolve=True)


def test_other_variables_are_read_as_ever(main, monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    monkeypatch.delenv("NOWHERE", raising=False)
    guard_environment()
    node = OmegaConf.create({"a": "${oc.env:SCRATCH}", "b": "${oc.env:NOWHERE,x}", "c": "${oc.env:NOWHERE,null}"})
    assert OmegaConf.to_container(node, resolve=True) == {"a": str(tmp_path), "b": "x", "c": None}
    code, error = main({"strategy/mine": STEPS}, "+strategy=mine", "output_dir=${oc.env:NOWHERE}")
    assert code == 2 and "there is no environment variable NOWHERE" in error


@pytest.mark.parametrize(
    ("name", "what"),
    {
        "../../x": "has a slash",
        "a/b": "has a slash",
        "a\\b": "has a slash",
        "..": "cannot name a folder",
        ".": "cannot name a folder",
        "": "is empty",
        "a\tb": "has characters that can't be printed",
        "a\x00b": "has characters that can't be printed",
        "\u202egpj": "has characters that can't be printed",
        "é" * 101: "is longer than 200 bytes",
    }.items(),
)
def test_a_strategys_name_is_that_of_one_folder(name, what):
    error = refusal(plain() | {"strategy": plain()["strategy"] | {"name": name}})
    assert error.startswith("strategy.name: ") and what in error


def test_a_strategy_in_a_folder_of_strategies_is_called_by_its_own_name(tmp_path, capsys):
    (tmp_path / "conf" / "strategy" / "team").mkdir(parents=True)
    (tmp_path / "conf" / "strategy" / "team" / "mine.yaml").write_text(f"# @package strategy\n{STEPS}")
    seen = []
    assert (
        run.main(["--config-dir", str(tmp_path / "conf"), "+strategy=team/mine"], lambda one: seen.append(one) or 0)
        == 0
    )
    assert seen[0].strategy.name == "mine"
