"""Whatever a model writes, a filter has a verdict on it, and the same one twice."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quality.labelled import reasons

WORDS = [
    "I'm",
    "sorry",
    "as an AI",
    "can't",
    "help",
    "Sure,",
    "\n",
    "```",
    "1.",
    "|",
    ":",
    '"',
    "...",
    "7",
    "好的",
    "🎉",
    "\ufffd",
]
texts = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), min_size=1, max_size=40).map(" ".join)


@given(texts, texts)
@settings(max_examples=40, deadline=None)
async def test_a_verdict_depends_on_the_record_alone(instruction, response):
    record = {"instruction": instruction, "response": response, "finish_reason": "stop"}
    assert await reasons(record) == await reasons(dict(record))
