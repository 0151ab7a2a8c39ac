"""The engine that asks a chat API: what it sends, what it makes of all kinds of answers, what it refuses to go on with.

The server is a fake that speaks real HTTP.
"""

import asyncio

import pytest
import pytest_asyncio

from synth.engines import GIVEN, EngineError, Sampling, Unusable, patient_http, rate_limit
from synth.engines.openai_chat import OpenAIChat
from synth.models.model import Model
from tests.engines.fake_server import KEY, VLLM_CARD, error, said, serving

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is <|im_end|>?"}]
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}}


@pytest_asyncio.fixture
async def server(monkeypatch):
    monkeypatch.setattr(patient_http, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(rate_limit, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with serving() as fake:
        fake.cards = [{"id": "large", "owned_by": "somebody"}]
        yield fake


@pytest.fixture
def connect(server, started):
    """A started engine with the keys that a test gives it."""

    async def connect(path="large", of_model=(), **keys):
        engine = OpenAIChat(model=Model(path=path, **dict(of_model)), base_url=server.url, **keys)
        await engine.start()
        started.append(engine)
        return engine

    return connect


async def test_messages_are_sent_as_they_are_with_what_decides_the_answer(server, connect):
    await (await connect()).generate(ASKED, Sampling(temperature=0.5, max_tokens=99, seed=3, stop=("END",)))
    assert server.bodies == [
        {
            "model": "large",
            "messages": ASKED,
            "temperature": 0.5,
            "top_p": 1.0,
            "max_tokens": 99,
            "seed": 3,
            "stop": ["END"],
        }
    ]


async def test_the_key_is_a_bearer_token_and_none_is_sent_where_there_is_none(server, connect, monkeypatch):
    await connect()
    await connect(api_key_env=None)
    assert server.keys == [f"Bearer {KEY}", None]


async def test_fields_that_do_nothing_are_not_sent_but_to_vllm(server, connect):
    server.cards = [VLLM_CARD | {"id": "large"}]
    await (await connect()).generate(ASKED, Sampling(seed=2**40, top_k=5))
    body = server.bodies[0]
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (5, 0.0, 1.0)
    assert body["seed"] == 2**40 % 2**31


async def test_an_answer_tells_its_text_and_its_tokens(server, connect):
    engine = await connect()
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    server.replies = [(200, said("Yes.") | {"usage": usage}, {})]
    answer = await engine.generate(ASKED, Sampling())
    assert (answer.text, answer.finish_reason, answer.reasoning) == ("Yes.", "stop", None)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (9, 6, 4)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thoughts_that_a_server_tells_apart_are_no_part_of_the_text(server, connect, name):
    engine = await connect()
    server.replies = [(200, said("Yes.", **{name: "Hm."}), {})]
    answer = await engine.generate(ASKED, Sampling())
    assert (answer.text, answer.reasoning) == ("Yes.", "Hm.")


@pytest.mark.parametrize(
    ("reply", "text", "end"),
    [
        (said(None), "", "stop"),
        (said(None, "length"), "", "length"),
        (said([{"type": "thinking", "thinking": []}, {"type": "text", "text": "Yes"}, {"text": "."}]), "Yes.", "stop"),
        (said("Yes.") | {"usage": None}, "Yes.", "stop"),
        (said("Yes.", "end_turn"), "Yes.", "stop"),
    ],
)
async def test_an_odd_answer_is_an_answer(server, connect, reply, text, end):
    engine = await connect()
    server.replies = [(200, reply, {})]
    answer = await engine.generate(ASKED, Sampling())
    assert (answer.text, answer.finish_reason, answer.withheld) == (text, end, None)


@pytest.mark.parametrize(
    ("status", "reply", "why"),
    [
        (200, said("", "content_filter"), "content_filter"),
        (200, said(None, refusal="I can't help with that."), "refusal: I can't help with that."),
        (200, said(None, "tool_calls", tool_calls=[{"function": {"name": "search"}}]), "tool_calls"),
        (400, {"error": {"message": "It was filtered.", "code": "content_filter"}}, "It was filtered."),
        (403, {"error": {"message": "It was flagged.", "metadata": {"flagged_input": "…"}}}, "It was flagged."),
    ],
)
async def test_an_answer_that_is_withheld_says_why(server, connect, status, reply, why):
    engine = await connect()
    server.replies = [(status, reply, {})]
    assert (await engine.generate(ASKED, Sampling())).withheld == why


@pytest.mark.parametrize(
    "error",
    [
        {"message": "The input is too much.", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 8192 tokens. However, your request has 9000."},
        {"message": "prompt is too long: 210000 tokens > 200000 maximum"},
        {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"},
        {"message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"},
        {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."},
    ],
)
async def test_a_prompt_that_is_longer_than_the_models_context_is_told_apart(server, connect, error):
    engine = await connect()
    server.replies = [(400, {"error": error}, {})]
    answer = await engine.generate(ASKED, Sampling())
    assert (answer.too_long, answer.finish_reason) == (error["message"], "length")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"choices": []}, "not in OpenAI's format"),
        ({"choices": None}, "not in OpenAI's format"),
        ({"id": "x"}, "not in OpenAI's format"),
        (["words"], "not in OpenAI's format"),
        (said("wor", "error"), "finish_reason 'error'"),
        (said("wor", None), "finish_reason None"),
    ],
)
async def test_an_answer_that_says_nothing_is_the_failure_of_this_one_request(server, connect, reply, words):
    engine = await connect()
    server.replies = [(200, reply, {})]
    with pytest.raises(RuntimeError, match=words) as raised:
        await engine.generate(ASKED, Sampling())
    assert not isinstance(raised.value, EngineError)


async def test_a_failure_that_a_gateway_wraps_in_an_answer_is_one(server, connect):
    engine = await connect()
    server.replies = [(200, {"error": {"message": "busy", "code": 429}}, {}), (200, {"error": {"code": 502}}, {})]
    assert (await engine.generate(ASKED, Sampling())).text == "words"
    assert len(server.bodies) == 3


async def test_a_refused_field_is_named_with_the_key_that_leaves_it_out(server, connect):
    engine = await connect()
    server.replies = [error(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")]
    with pytest.raises(ValueError, match=r"does not support 0\.0 .*; engine\.omit=\[temperature\] omits it"):
        await engine.generate(ASKED, Sampling(temperature=0.0))


async def test_a_server_that_refuses_what_every_request_has_is_not_begun_with(server, connect):
    server.refuses = {"seed": "seed: Extra inputs are not permitted"}
    with pytest.raises(Unusable, match=r"seed: Extra inputs are not permitted; engine\.omit=\[seed\]"):
        await connect()
    await (await connect(omit=["seed"])).generate(ASKED, Sampling(seed=5))
    assert "seed" not in server.bodies[0]


async def test_a_model_that_has_another_name_for_max_tokens_is_asked_by_that(server, connect):
    server.refuses = {"max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."}
    await (await connect()).generate(ASKED, Sampling(max_tokens=50))
    assert server.bodies[0]["max_completion_tokens"] == 50


async def test_further_fields_are_sent_with_each_request(server, connect):
    engine = await connect(of_model={"template_kwargs": {"enable_thinking": False}}, extra={"reasoning_effort": "low"})
    await engine.generate(ASKED, Sampling())
    assert server.bodies[0]["reasoning_effort"] == "low"
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("keys", "way", "fields"),
    [
        ({"dialect": "vllm"}, "off", {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        ({"of_model": {"template_kwargs": {"enable_thinking": False, "a": 1}}}, "on",
         {"chat_template_kwargs": {"enable_thinking": True, "a": 1}}),
        ({"dialect": "vllm"}, "high", {"reasoning_effort": "high"}),
        ({}, "off", {"reasoning_effort": "none"}),
        ({}, "low", {"reasoning_effort": "low"}),
    ],
)  # fmt: skip
async def test_a_server_is_told_how_to_think_in_the_fields_that_it_takes(server, connect, keys, way, fields):
    engine = await connect(**keys)
    before = len(server.bodies)
    await engine.generate(ASKED, Sampling(thinking=way))
    sent = server.bodies[before:][-1]
    assert {name: sent[name] for name in ("chat_template_kwargs", "reasoning_effort") if name in sent} == fields


async def test_a_vllm_server_goes_on_from_the_beginning_of_an_answer_and_no_other_is_asked_to(server, connect):
    begun = [*ASKED, {"role": GIVEN, "content": "All "}]
    await (await connect(dialect="vllm")).generate(begun, Sampling())
    sent = server.bodies[-1]
    assert sent["messages"][-1] == {"role": "assistant", "content": "All "} and sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False
    with pytest.raises(ValueError, match=r"prefix: .* is no vLLM server"):
        await (await connect()).generate(begun, Sampling())


async def test_a_server_without_a_list_of_models_is_asked_for_the_one_that_is_named(server, connect):
    server.cards = None
    await (await connect()).generate(ASKED, Sampling())
    assert server.bodies[0]["model"] == "large"


async def test_a_model_may_have_a_name_that_the_list_has_not(server, connect):
    await (await connect("large:latest")).generate(ASKED, Sampling())
    assert server.bodies[0]["model"] == "large:latest"


async def test_a_model_that_answers_no_greeting_and_is_in_no_list_is_told_with_the_nearest(server, connect):
    server.refuses = {"model": "The model does not exist"}
    with pytest.raises(Unusable, match=r"does not serve 'larg'; did you mean 'large'\?"):
        await connect("larg")
    with pytest.raises(Unusable, match="the server refuses the request: The model does not exist"):
        await connect()


async def test_a_server_holds_what_it_has_shown_to_hold_and_others_are_told_of(server, connect, caplog):
    server.holds = {"json"}
    assert (await connect()).holds == {"json"}
    server.holds = set()
    assert (await connect()).holds == set()
    assert "does not support JSON schemas" in caplog.text
    server.cards, server.holds = [VLLM_CARD | {"id": "large"}], {"json", "choice"}
    assert (await connect()).holds == {"json", "choice", "regex"}


async def test_a_server_that_holds_strict_objects_only_is_sent_such(server, connect):
    server.holds = {"object"}
    engine = await connect()
    assert engine.holds == {"json"}
    await engine.generate(ASKED, Sampling(json_schema=SCHEMA))
    assert server.bodies[0]["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA, "strict": True}


async def test_a_server_that_tells_no_tokens_can_have_no_price(server, connect):
    server.usage = None
    await connect()
    with pytest.raises(Unusable, match=r"price_per_million_tokens: .* does not report the number of tokens"):
        await connect(price_per_million_tokens={"prompt": 1, "completion": 2})


async def test_an_account_without_money_is_no_rate_limit(server, connect):
    engine = await connect()
    server.replies = [
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, {})
    ]
    with pytest.raises(EngineError, match="answers 429: You exceeded your current quota"):
        await engine.generate(ASKED, Sampling())


async def test_a_rate_limit_pauses_all_callers_and_loses_none(server, connect):
    """Of 24 at once, the server refuses 8. No other request comes before the time that it has asked for is over."""
    engine = await connect(max_num_seqs=8, max_retries=0)
    server.delay_s = 0.05
    server.replies = [error(429, "slow down", Retry_After="0.5")] * 8
    asking = [asyncio.create_task(engine.generate(ASKED, Sampling())) for _ in range(24)]
    await asyncio.sleep(0.2)
    assert 0 < engine.stats().paused_s <= 0.55
    assert (engine.stats().running, engine.stats().waiting) == (0, 24)
    answers = await asyncio.gather(*asking)
    assert [answer.text for answer in answers] == ["words"] * 24
    refused, others = server.at[:8], server.at[8:]
    assert len(others) == 24 and others[0] - refused[0] >= 0.5
    assert engine.stats().paused_s == 0


@pytest.mark.parametrize("path", ["", "/chat"])
async def test_what_is_no_such_server_is_one_line(server, path):
    engine = OpenAIChat(model=Model(path="large"), base_url=server.url + path + "/nowhere")
    with pytest.raises(Unusable, match=r"chat/completions answers 404: .*; check engine\.base_url"):
        await engine.start()
