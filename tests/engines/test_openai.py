"""The engine that talks to a server: what it sends, how patient it is, what it says when all is in vain.

The server is a fake: it keeps what it was sent, and answers with whatever a test has put in line.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio

from synth.components.instantiate import build
from synth.engines import Engine, EngineError, Sampling, patient_http, rate_limit
from synth.engines.openai import OpenAI
from synth.engines.patient_http import retry_after_s
from synth.engines.rate_limit import RateLimit
from synth.errors import ConfigError
from synth.models.model import Model
from tests.engines.fake_server import KEY, VLLM_CARD, answer, error, serving


@pytest_asyncio.fixture
async def server(monkeypatch):
    monkeypatch.setattr(patient_http, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(rate_limit, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with serving() as fake:
        yield fake


@pytest.fixture
def connect(server, started):
    """A started engine with the keys that a test gives it."""

    async def connect(**keys):
        engine = OpenAI(model=keys.pop("model", Model(path="demo", name="synth-demo")), base_url=server.url, **keys)
        await engine.start()
        started.append(engine)
        return engine

    return connect


def plain(server):
    server.cards = [{"id": "synth-demo", "owned_by": "somebody"}]
    return Model(path="demo", name="synth-demo", max_model_len=100)


async def test_a_prompt_is_sent_as_token_ids_with_room_for_the_answer(server, connect):
    engine = await connect()
    await engine.generate([5, 6, 7], Sampling(max_tokens=1000))
    assert server.bodies[0]["model"] == "synth-demo"
    assert server.bodies[0]["prompt"] == [5, 6, 7]
    assert server.bodies[0]["max_tokens"] == 97


async def test_vllm_is_sent_every_field_so_that_no_default_of_the_server_counts(server, connect):
    engine = await connect()
    await engine.generate([5], Sampling(temperature=0.5, seed=2**62, stop_token_ids=(2,)))
    body = server.bodies[0]
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.5, 1.0, 0, 0.0)
    assert body["repetition_penalty"] == 1.0
    assert body["seed"] == 2**62
    assert body["stop_token_ids"] == [2] and "stop" not in body
    assert body["return_token_ids"] is True


async def test_another_server_is_sent_what_differs_from_nothing_and_stop_tokens_by_their_spelling(server, connect):
    engine = await connect(model=plain(server))
    await engine.generate([5], Sampling(top_k=20, stop=("END",), stop_token_ids=(2,)))
    assert set(server.bodies[0]) == {"model", "prompt", "max_tokens", "temperature", "top_p", "top_k", "stop"}
    assert server.bodies[0]["stop"][0] == "END"
    assert server.bodies[0]["stop"][1].startswith("<|")


async def test_a_greedy_request_has_no_seed(server, connect):
    engine = await connect()
    await engine.generate([5], Sampling(temperature=0.0, seed=3))
    assert "seed" not in server.bodies[0]


async def test_a_schema_is_sent_as_a_response_format(server, connect):
    engine = await connect()
    await engine.generate([5], Sampling(json_schema={"type": "object"}))
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


async def test_a_choice_and_a_regular_expression_are_sent_in_vllms_words(server, connect):
    engine = await connect()
    await engine.generate([5], Sampling(choice=("Yes", "No")))
    await engine.generate([5], Sampling(regex="[a-z]+"))
    assert [body["structured_outputs"] for body in server.bodies] == [{"choice": ["Yes", "No"]}, {"regex": "[a-z]+"}]


async def test_a_server_holds_what_it_has_shown_to_hold(server, connect):
    assert (await connect()).holds == {"json", "choice", "regex"}
    assert (await connect(model=plain(server))).holds == {"json"}
    server.cards, server.holds = [VLLM_CARD], {"json"}  # a vLLM of other days
    assert (await connect()).holds == {"json"}
    server.holds = set()
    assert (await connect()).holds == set()


async def test_a_vllm_server_is_asked_to_end_what_loops_and_says_so(server, connect):
    engine = await connect()
    server.replies = [(200, answer("a b", "repetition", token_ids=[8, 9], stop_reason="repetition_detected"), {})]
    looped = await engine.generate([5], Sampling())
    assert (looped.token_ids, looped.finish_reason) == ([8, 9], "repetition")
    await engine.generate([5], Sampling(choice=("Yes", "No")))
    await engine.generate([5], Sampling(repetition_detection=False))
    usual, *others = server.bodies
    assert usual["repetition_detection"] == {"min_pattern_size": 8, "max_pattern_size": 64, "min_count": 3}
    assert not any("repetition_detection" in body for body in others)


async def test_token_ids_come_back_without_the_token_that_ended_them(server, connect):
    engine = await connect()
    server.replies = [
        (200, answer("a b", token_ids=[8, 9, 2], stop_reason=None), {}),
        (200, answer("a b", "length", token_ids=[8, 9, 3]), {}),
    ]
    ended = await engine.generate([5], Sampling())
    assert (ended.token_ids, ended.finish_reason, ended.text, ended.prompt_tokens) == ([8, 9], "stop", None, 1)
    cut = await engine.generate([5], Sampling())
    assert (cut.token_ids, cut.finish_reason) == ([8, 9, 3], "length")


async def test_with_a_stop_string_the_servers_text_counts(server, connect):
    engine = await connect()
    server.replies = [(200, answer("a b", token_ids=[8, 9, 4], stop_reason="END"), {})]
    ended = await engine.generate([5], Sampling(stop=("END",)))
    assert (ended.token_ids, ended.text) == ([8, 9, 4], "a b")


async def test_a_servers_log_probabilities_are_asked_for_where_it_is_known_to_tell_them(server, connect):
    engine = await connect()
    result = {"token_logprobs": [-1.0, -3.0], "tokens": ["a", "b"]}
    server.replies = [(200, answer("a b", token_ids=[8, 9], logprobs=result), {})]
    assert (await engine.generate([5], Sampling(logprob=True))).logprob == -2.0
    assert (await engine.generate([5], Sampling(logprob=True))).logprob is None
    server.cards = [{"id": "synth-demo", "owned_by": "somebody", "max_model_len": 100}]
    await (await connect()).generate([5], Sampling(logprob=True))
    assert ["logprobs" in body for body in server.bodies] == [True, True, False]


async def test_without_token_ids_the_text_is_taken_and_counted(server, connect):
    engine = await connect(model=plain(server))
    server.replies = [(200, answer("What is the capital of Morocco?"), {})]
    ended = await engine.generate([5], Sampling())
    assert ended.text == "What is the capital of Morocco?"
    assert 5 <= len(ended.token_ids) <= len(ended.text)


async def test_cached_tokens_are_told_where_the_server_tells_them(server, connect):
    engine = await connect()
    reply = answer(token_ids=[8]) | {"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}}
    server.replies = [(200, reply, {})]
    assert (await engine.generate([5, 6, 7], Sampling())).cached_tokens == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_what_a_server_cannot_do_now_is_asked_again(server, connect, status):
    engine = await connect()
    server.replies = [error(status, "busy"), error(status, "busy")]
    assert (await engine.generate([5], Sampling())).finish_reason == "stop"
    assert len(server.bodies) == 3


async def test_a_dropped_connection_is_tried_again(server, connect):
    engine = await connect()
    server.replies = [(0, "", {})]
    await engine.generate([5], Sampling())
    assert len(server.bodies) == 2


async def test_retry_after_is_heeded(server, connect, monkeypatch):
    paused, refused = [], RateLimit.refused
    monkeypatch.setattr(RateLimit, "refused", lambda self, *given: paused.append(given[1]) or refused(self, *given))
    engine = await connect()
    server.replies = [error(429, "slow down", Retry_After="0.3")]
    await engine.generate([5], Sampling())
    assert paused == [0.3] and len(server.bodies) == 2


def test_retry_after_may_be_a_date():
    later = datetime.now(UTC) + timedelta(seconds=100)
    assert 95 < retry_after_s(format_datetime(later, usegmt=True)) <= 100
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_s("soon") is None and retry_after_s(None) is None


async def test_a_server_that_stays_busy_is_of_no_use_and_its_words_are_told(server, connect):
    engine = await connect(max_retries=2)
    server.replies = [error(503, "no room today")] * 3
    with pytest.raises(EngineError, match="answers 503 to the last of 3 tries: no room today"):
        await engine.generate([5], Sampling())


async def test_a_request_that_alone_fails_is_the_end_of_its_record_and_not_of_the_engine(server, connect):
    engine = await connect(max_retries=1)
    server.replies = [error(500, "index out of range", Retry_After="0.1"), (200, answer(token_ids=[8]), {}), error(500)]
    failing = asyncio.create_task(engine.generate([5], Sampling()))
    while not server.bodies:
        await asyncio.sleep(0.001)
    await engine.generate([6], Sampling())
    with pytest.raises(RuntimeError, match="the server fails at this request") as raised:
        await failing
    assert not isinstance(raised.value, EngineError)


async def test_a_refused_request_is_a_value_error_with_the_servers_words(server, connect):
    engine = await connect()
    server.replies = [error(400, "top_k must be\nat least 1")]
    with pytest.raises(ValueError, match=r"the server refuses the request: top_k must be\\nat least 1"):
        await engine.generate([5], Sampling())
    assert len(server.bodies) == 1


async def test_an_answer_that_is_withheld_says_so(server, connect):
    engine = await connect()
    server.replies = [(200, answer("", "content_filter"), {})]
    assert (await engine.generate([5], Sampling())).withheld == "content_filter"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((200, "<html>", {}), "is not JSON: <html>"),
        ((200, {"choices": []}, {}), "not OpenAI's"),
        ((200, answer(finish_reason="abort"), {}), "finish_reason 'abort'"),
        ((404, {"detail": "Not Found"}, {}), "answers 404: Not Found; check engine.base_url"),
        ((307, "", {"Location": "http://127.0.0.1:1/"}), "answers 307"),
    ],
)
async def test_what_is_no_such_api_is_an_engine_error(server, connect, reply, words):
    engine = await connect()
    server.replies = [reply]
    with pytest.raises(EngineError, match=words):
        await engine.generate([5], Sampling())


async def test_a_prompt_that_is_too_long_is_not_sent(server, connect):
    engine = await connect()
    with pytest.raises(ValueError, match="100 tokens"):
        await engine.generate([5] * 100, Sampling())
    assert not server.bodies


async def test_a_request_that_takes_too_long_is_tried_once_more_and_the_key_named(server, connect):
    engine = await connect(timeout_s=0.2)
    server.delay_s = 1.0
    with pytest.raises(EngineError, match=r"no answer within engine\.timeout_s=0\.2"):
        await engine.generate([5], Sampling())
    assert len(server.bodies) == 2


async def test_no_more_requests_are_in_flight_than_configured(server, connect):
    engine = await connect(max_num_seqs=3)
    server.delay_s = 0.05
    asking = asyncio.gather(*(engine.generate([5], Sampling()) for _ in range(8)))
    await asyncio.sleep(0.03)
    assert (engine.stats().running, engine.stats().waiting) == (3, 5)
    await asking
    assert server.most_in_flight == 3
    assert (engine.stats().running, engine.stats().waiting) == (0, 0)


async def test_the_key_comes_from_the_environment_variable_that_is_named(server, connect, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "another")
    await connect()
    await connect(api_key_env="OTHER_KEY")
    await connect(api_key_env=None)
    assert server.keys == [f"Bearer {KEY}", "Bearer another", None]


async def test_the_key_is_in_no_error_even_if_the_server_repeats_it(server, connect):
    engine = await connect()
    server.replies = [error(401, f"wrong key {KEY}")]
    with pytest.raises(EngineError) as raised:
        await engine.generate([5], Sampling())
    assert "wrong key ***; check the key in the environment" in str(raised.value)
    assert KEY not in repr(engine)


async def test_a_model_that_is_not_served_is_named_with_the_nearest_that_is(server, connect):
    with pytest.raises(EngineError, match=r"does not serve 'synth-dmeo'; did you mean 'synth-demo'\?"):
        await connect(served_model="synth-dmeo")


async def test_a_server_that_is_not_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(patient_http, "FIRST_PAUSE_S", 0.001)
    engine = OpenAI(model=Model(path="demo"), base_url="http://127.0.0.1:1/v1")
    with pytest.raises(EngineError, match=r"^http://127.0.0.1:1/v1/models can't be reached: [^\n]+$"):
        await engine.start()


async def test_a_context_length_that_nobody_tells_must_be_configured(server, connect):
    plain(server)
    with pytest.raises(EngineError, match=r"set model\.max_model_len"):
        await connect()


async def test_the_shorter_context_counts(connect):
    engine = await connect(model=Model(path="demo", name="synth-demo", max_model_len=50))
    assert engine.max_model_len == 50


@pytest.mark.parametrize(
    "keys",
    [
        {"base_url": "http://user:hunter2@127.0.0.1/v1"},
        {"base_url": "http://127.0.0.1/v1?key=hunter2"},
        {"base_url": "hunter2"},
        {"api_key_env": "sk-hunter2"},
    ],
)
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(keys):
    node = {"_target_": "synth.engines.openai.OpenAI", **keys}
    with pytest.raises(ConfigError, match=f"engine: {next(iter(keys))}") as raised:
        build(node, "engine", Engine, model=Model(path="demo"))
    assert "hunter2" not in str(raised.value)
