"""Models that are only behind a chat API: what a run with one loads, asks, and refuses before anything is started."""

import json

import pytest
from hydra import compose, initialize_config_dir

from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.config_groups import CONF_DIR
from synth.configuration.hydra_errors import CommandLine
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.preview.dry_run import describe
from synth.preview.missing import refuse_what_is_missing
from synth.run import main

JUDGE = ["models.judge.engine=openai_chat", "models.judge.path=gpt-5-mini"]
MAIN = ["engine=openai_chat", "model.path=vendor/large"]


def config(*words):
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return parse(compose("config", CommandLine(list(words)).words))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")


@pytest.fixture
def seeds(tmp_path):
    rows = [{"instruction": "What is tea?", "response": "A drink.", "topic": "tea"}]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["source=file", f"source.path={tmp_path / 'seeds.jsonl'}"]


def test_nothing_of_such_a_model_is_loaded_and_the_hub_is_not_asked(monkeypatch):
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: pytest.fail("it is loaded"))
    served = config("+strategy=self_instruct", *MAIN)
    refuse_bad_chat_template(served)
    assert type(served.load_chat_templates()["main"]).__name__ == "ServedChat"
    assert served.are_here


def test_a_judge_behind_a_chat_api_is_planned_beside_a_model_of_ones_own():
    result = describe(config("+strategy=preference", *JUDGE))
    assert "judge: gpt-5-mini, OpenAIChat at https://api.openai.com/v1; 1 engine(s); called by preference" in result


def test_a_conversation_is_planned_for_a_chat_api_that_is_asked_for_the_users_messages():
    result = describe(config("+strategy=conversation", *MAIN, "strategy.converse.user_by=chat"))
    assert "model     vendor/large, OpenAIChat at" in result and "Somebody writes to an AI assistant" in result


@pytest.mark.parametrize("strategy", ["self_instruct", "evol_instruct", "instruct_and_respond", "text_generation"])
def test_a_strategy_of_conversations_is_planned_for_a_chat_api_alone(strategy, seeds):
    result = describe(config(f"+strategy={strategy}", *MAIN, *([] if strategy == "self_instruct" else seeds)))
    assert (
        "model     vendor/large, OpenAIChat at" in result
        and ": user: " in result
        and "not on this machine" not in result
    )


@pytest.mark.parametrize(
    ("words", "step", "model"),
    [
        (["+strategy=magpie", *MAIN], "magpie", "main"),
        (["+strategy=evol_instruct_from_nothing", *MAIN], "evol_instruct", "main"),
        (["+strategy=magpie", *JUDGE, "+strategy.magpie.instruction.model=judge"], "magpie", "judge"),
        (["+strategy=conversation", *MAIN], "converse", "main"),
    ],
)
def test_a_step_that_speaks_as_the_user_is_refused_with_the_model_that_it_asks(words, step, model, capsys):
    assert main([*words, "dry_run=true"]) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"error: strategy.{step}: needs a user's turn from the model") and output.count("\n") == 1
    assert f"from the model {model}, which a chat API cannot write" in output


def test_a_chat_api_may_answer_what_another_model_has_said_as_the_user():
    served = config("+strategy=magpie", *JUDGE, "+strategy.magpie.response.model=judge")
    assert served.strategy.steps[0].models_as_user == {"main"}


@pytest.mark.parametrize("key", ["tokenizer", "chat_template", "pre_query", "revision"])
def test_keys_of_a_tokenizer_and_a_template_are_refused(key):
    with pytest.raises(ConfigError, match=rf"models\.judge\.{key}: the server .* has the tokenizer"):
        config("+strategy=preference", *JUDGE, f"models.judge.{key}=mine")


def test_a_key_that_is_missing_for_a_server_elsewhere_is_refused_before_the_start(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    assert main(["+strategy=preference", *JUDGE, "dry_run=true"]) == 2
    wanted = "the environment variable OPENAI_API_KEY is not set, and api.openai.com needs a key"
    assert capsys.readouterr().err.startswith(f"error: models.judge.engine.api_key_env: {wanted}")


@pytest.mark.parametrize(
    "words",
    [
        ["engine.base_url=http://127.0.0.1:1/v1"],
        ["engine.base_url=https://localhost:1/v1"],
        ["engine.base_url=http://node7:8000/v1"],
        ["engine.api_key_env=null"],
    ],
)
def test_a_server_of_ones_own_needs_no_key(words, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    refuse_what_is_missing(config("+strategy=self_instruct", *MAIN, *words))


def test_the_key_is_in_no_configuration():
    served = config("+strategy=preference", *JUDGE)
    assert "sk-very-secret" not in f"{served.resolved} {served} {served.identity()} {served.models['judge'].engine!r}"


def test_an_unknown_field_to_leave_out_is_refused():
    with pytest.raises(ConfigError, match=r"models\.judge\.engine\.omit\[0\]: must be 'temperature', "):
        config("+strategy=preference", *JUDGE, "models.judge.engine.omit=[temprature]")
