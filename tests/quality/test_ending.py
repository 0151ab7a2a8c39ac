"""Texts that break off."""

import pytest

from synth.quality.ending import Ending
from tests.quality.judged import judged

WHOLE = [
    "Paris",
    "The capital of France is Paris.",
    "x = 5",
    "SELECT name\nFROM bees;",
    'He said: "I\'ll be back."',
    "It is done (as you wished).",
    "It's done :)",
    "What a sad story :(",
    "- apples\n- pears and all the other fruit that we found in the garden",
    "1. Mix it.\n2. Bake it for as long as it takes to get brown",
    "```python\nprint('(')\n```",
    "Use `f(` to begin, and see what happens then.",
    "Steps:\n1) wash\n2) peel\n3) cut",
    "The interval [0, 1) is half open, and so is (0, 1].",
    "| name | value |\n| --- | --- |\n| a | the value of a is one of many that it could have |",
    "Dear Anna,\nthank you.\n\nBest wishes\nBob",
    "法国的首都是巴黎。",
    "ฉันชอบอ่านหนังสือและดูหนังในวันหยุดสุดสัปดาห์กับครอบครัวและเพื่อนของฉันเสมอ",
    "So $$a + b = c$$ holds.",
    "An open one (in an earlier paragraph.\n\nAnd a good last one.",
    "I wandered lonely as a cloud\nThat floats on high o'er vales and hills",
    "Well done! 🎉",
]


@pytest.mark.parametrize("text", WHOLE)
async def test_a_text_that_ends_is_kept(text):
    assert await judged(Ending(), response=text, finish_reason="stop") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Here is the code:\n```python\nprint(1)", "left_open"),
        ("````\n```\n", "left_open"),
        ("The value is (as we saw above", "left_open"),
        ("It follows that $$a + b", "left_open"),
        ("这是一个（例子", "left_open"),
        ("Here is the list:", "announces"),
        ("We need eggs, flour,", "announces"),
        ("步骤如下：", "announces"),
        ("The capital of France is Paris, which lies on the river that is called", "mid_sentence"),
        ("A paragraph.\n\nAnd then another one that goes on and on until it", "mid_sentence"),
        ("法国的首都是巴黎，它位于塞纳河畔，是一座历史悠久的", "mid_sentence"),
    ],
)
async def test_a_text_that_breaks_off_is_found(text, reason):
    assert await judged(Ending(), response=text, finish_reason="stop") == reason


@pytest.mark.parametrize(
    "text",
    ["All is well, and", "All is", "1. All is well.", "Steps:\n\n- Wash it.\n- Dry it.", "It costs 3.", "Fine!\n\n2."],
)
async def test_a_response_that_max_tokens_cut_is_cut_off(text):
    assert await judged(Ending(), response=text, finish_reason="length") == "cut_off"
    assert await judged(Ending(column="instruction"), instruction="All is well.", finish_reason="length") is None


async def test_a_response_that_max_tokens_ended_after_a_whole_sentence_reads_as_a_whole():
    assert await judged(Ending(), response="1. Wash it.\n\nAll is well.", finish_reason="length") is None


async def test_instructions_do_without_punctuation_if_told_so():
    step = Ending(column="user", punctuation=False)
    assert await judged(step, instruction="tell me how i can get from here to the next train station") is None
    turns = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Rewrite this:"}]
    assert await judged(step, messages=turns) == "announces"


@pytest.mark.parametrize(
    "text",
    [
        "Continue the story: Once upon a time,",
        'Complete this sentence: "The cat sat on the mat and -',
        "What number comes next? 2, 4, 8, 16,",
        "Write a story that starts with these words.\n\nIt was a cold and stormy night;",
        "Question: What is 2 + 2?\nAnswer:",
        "Translate to French.\n\nGood morning\n\nTranslation:",
    ],
)
async def test_a_beginning_to_go_on_from_and_a_label_to_answer_after_announce_nothing(text):
    assert await judged(Ending(column="instruction", punctuation=False), instruction=text) is None


@pytest.mark.parametrize(
    "text",
    ["Rewrite the following text:", "Answer:", "Continue the story:", "I have three wishes,", "Fix this.\n\nText:"],
)
async def test_what_is_to_come_and_does_not_is_announced(text):
    assert await judged(Ending(column="instruction", punctuation=False), instruction=text) == "announces"


@pytest.mark.parametrize("response", [None, "  "])
async def test_no_text_is_a_reason_of_its_own(response):
    assert await judged(Ending(), response=response) == "no_response"
