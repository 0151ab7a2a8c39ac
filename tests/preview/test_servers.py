"""What a chat API refuses of a run: said before anything is started. The server is a fake that speaks real HTTP."""

import asyncio

import pytest

from synth import run
from synth.engines import patient_http
from tests.engines.fake_server import VLLM_CARD, serving_in_a_thread

TEMPERATURE = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(patient_http, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with serving_in_a_thread([VLLM_CARD | {"id": "large", "owned_by": "somebody"}]) as fake:
        yield fake


@pytest.fixture
def words(server):
    judge = ["models.judge.engine=openai_chat", "models.judge.path=large", f"models.judge.engine.base_url={server.url}"]
    return ["+strategy=preference", "engine=simulated", "num_records=2", "output_dir=run", *judge]


def refusal(words, capsys):
    assert run.main(words) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_a_temperature_that_the_server_refuses_is_said_with_the_step_and_the_key_that_leaves_it_out(
    server, words, capsys, tmp_path
):
    server.refuses_values = {"temperature": (0.0, TEMPERATURE)}
    line = refusal(words, capsys)
    assert line.startswith(f"error: strategy.preference: the server refuses the request: {TEMPERATURE}")
    assert line.endswith("; models.judge.engine.omit=[temperature] omits it, and the server's default applies")
    assert not (tmp_path / "run").exists()


def test_main_behind_such_a_server_is_refused_by_its_own_key(server, capsys):
    server.refuses_values = {"top_p": (0.95, "top_p and temperature can't both be given")}
    words = ["+strategy=self_instruct", "engine=openai_chat", f"engine.base_url={server.url}", "model.path=large"]
    line = refusal([*words, "output_dir=run", "strategy.instances.sampling.top_p=0.95"], capsys)
    assert line.endswith("; engine.omit=[temperature,top_p] omits it, and the server's default applies")


def test_a_model_that_the_server_does_not_have_is_refused_before_the_start(server, words, capsys):
    server.refuses = {"model": "there is no such model"}
    line = refusal([*words, "models.judge.path=larg"], capsys)
    assert line.startswith("error: models.judge.engine.served_model: ") and "did you mean 'large'?" in line


def test_a_server_that_does_not_answer_yet_is_no_reason_to_refuse(words, monkeypatch):
    from synth.preview.servers import refuse_what_servers_refuse
    from tests.test_chat_apis import config

    asked = config(*words, "models.judge.engine.base_url=http://127.0.0.1:9/v1")
    asyncio.run(refuse_what_servers_refuse(asked))


def test_each_way_of_drawing_is_tried_once(server, words):
    from synth.preview.servers import refuse_what_servers_refuse
    from tests.test_chat_apis import config

    asyncio.run(refuse_what_servers_refuse(config(*words)))
    drawn = [(greeting["temperature"], greeting["top_p"]) for greeting in server.greetings]
    assert drawn[0] == (1.0, 1.0) and drawn[1:] and len(set(drawn[1:])) == len(drawn[1:])
