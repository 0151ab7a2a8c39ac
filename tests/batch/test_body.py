"""The body of a request: what is honoured, what is refused, and with which error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.batch.body import chat_request, sampling_fields, text_request
from synth.batch.keys import KEYS
from synth.batch.refused import STATUS, Refused
from synth.engines import Sampling

ASK = [{"role": "user", "content": "Hi"}]
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    },
}


def sampled(**body):
    return Sampling(**sampling_fields(chat_request({"messages": ASK, **body})["request"]))


def refusal(**body):
    with pytest.raises(Refused) as raised:
        chat_request({"messages": ASK} | body)
    assert raised.value.code in STATUS
    return raised.value.code, raised.value.param


def test_sampling_keys_are_those_of_the_request():
    body = {
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "repetition_penalty": 1.1,
        "seed": -3,
        "stop": ["a", "b"],
        "stop_token_ids": [7],
    }
    found = sampled(**body)
    assert {name: getattr(found, name) for name in body} == body | {"stop": ("a", "b"), "stop_token_ids": (7,)}


@pytest.mark.parametrize(
    ("body", "most"),
    [({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": 5, "max_completion_tokens": 6}, 6)],
)
def test_the_length_has_an_old_key_and_a_new_one(body, most):
    assert sampled(**body).max_tokens == most


def test_one_stop_text_is_a_list_of_one_and_minus_one_is_all_tokens():
    assert sampled(stop="END").stop == ("END",)
    assert sampled(top_k=-1).top_k == 0


def test_null_is_as_good_as_not_given():
    assert chat_request({"messages": ASK} | dict.fromkeys([key for key in KEYS if key != "messages"])) == {
        "messages": ASK,
        "request": {"sampling": {}},
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"temprature": 1}, ("unknown_parameter", "temprature")),
        ({"logit_bias": {"5": 1}}, ("unsupported_parameter", "logit_bias")),
        ({"logprobs": True}, ("unsupported_parameter", "logprobs")),
        ({"stream": True}, ("unsupported_parameter", "stream")),
        ({"temperature": "1"}, ("invalid_type", "temperature")),
        ({"temperature": True}, ("invalid_type", "temperature")),
        ({"temperature": -1}, ("invalid_value", "temperature")),
        ({"temperature": float("inf")}, ("invalid_value", "temperature")),
        ({"stop": 5}, ("invalid_type", "stop")),
        ({"stop": ""}, ("invalid_value", "stop")),
        ({"seed": 2**64}, ("invalid_value", "seed")),
        ({"n": 0}, ("invalid_value", "n")),
        ({"n": 1.0}, ("invalid_type", "n")),
        ({"max_tokens": 0}, ("invalid_value", "max_tokens")),
        ({"response_format": {"type": "jsn"}}, ("invalid_value", "response_format.type")),
        ({"tools": [{"type": "web_search"}]}, ("invalid_value", "tools")),
        ({"tools": [ADD], "tool_choice": "sometimes"}, ("invalid_value", "tool_choice")),
        ({"tool_choice": "required"}, ("invalid_value", "tool_choice")),
        (
            {"tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "sub"}}},
            ("invalid_value", "tool_choice"),
        ),
        ({"chat_template_kwargs": {"date": "now"}}, ("unsupported_parameter", "chat_template_kwargs.date")),
        ({"messages": None}, ("missing_required_parameter", "messages")),
        ({"messages": []}, ("invalid_value", "messages")),
        ({"messages": [{"role": "robot", "content": "x"}]}, ("invalid_value", "messages[0].role")),
        ({"messages": [{"role": "user"}]}, ("missing_required_parameter", "messages[0].content")),
        ({"messages": [{"role": "user", "content": "x", "nme": "y"}]}, ("unknown_parameter", "messages[0].nme")),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            ("unsupported_content", "messages[0].content[0]"),
        ),
    ],
)
def test_what_can_not_be_done_is_an_error_with_the_key(body, expected):
    assert refusal(**body) == expected


@pytest.mark.parametrize(
    "body", [{"user": "me"}, {"metadata": {}}, {"stream": False}, {"logit_bias": {}}, {"store": True}]
)
def test_what_changes_no_answer_is_ignored(body):
    assert chat_request({"messages": ASK} | body) == chat_request({"messages": ASK})


def test_a_schema_holds_the_answer_and_an_object_is_any_object():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    assert sampled(response_format=form).json_schema == schema
    assert sampled(response_format={"type": "json_object"}).json_schema == {"type": "object"}
    assert sampled(response_format={"type": "text"}).json_schema is None


@pytest.mark.parametrize(
    ("body", "way"),
    [
        ({"reasoning_effort": "low"}, "low"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, "off"),
        ({"chat_template_kwargs": {"thinking": True}}, "on"),
    ],
)
def test_whether_a_model_thinks_is_as_servers_are_told(body, way):
    assert sampled(**body).thinking == way


def test_text_parts_are_joined_and_the_developer_is_the_system():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    (message,) = chat_request({"messages": [{"role": "developer", "content": parts}]})["messages"]
    assert message == {"role": "system", "content": "a\nb"}


def test_tools_that_must_not_be_called_are_not_shown():
    assert "tools" not in chat_request({"messages": ASK, "tools": [ADD], "tool_choice": "none"})
    assert chat_request({"messages": ASK, "tools": [ADD]})["tools"] == [ADD]


def test_earlier_calls_and_results_are_kept():
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    turns = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "1"},
    ]
    found = chat_request({"messages": turns})["messages"]
    assert found[1:] == [{"role": "assistant", "content": "", "tool_calls": [call]}, turns[2]]


def test_a_text_to_continue_has_its_own_usual_length():
    assert text_request({"prompt": "Once"}) == {"prompt": "Once", "request": {"sampling": {"max_tokens": 16}}}
    assert text_request({"prompt": ["Once"], "max_tokens": 5, "n": 2})["request"] == {
        "sampling": {"max_tokens": 5},
        "n": 2,
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "a", "tools": []}, "tools"),
    ],
)
def test_a_prompt_is_one_text(body, param):
    with pytest.raises(Refused) as raised:
        text_request(body)
    assert raised.value.param == param


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), ANY, max_size=5))
def test_any_body_is_a_request_or_an_error_of_its_own(body):
    try:
        Sampling(**sampling_fields(chat_request(body)["request"]))
    except Refused as error:
        assert error.code in STATUS and str(error)
