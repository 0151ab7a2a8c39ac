"""Filters that judge a beginning: what they reject there they reject whatever follows."""

import inspect
import random

import pytest

from synth.quality.answer import Answer
from synth.quality.gibberish import Gibberish
from synth.quality.language import Language
from synth.quality.length import Length
from synth.quality.refusal import Refusal
from synth.quality.repetition import Repetition
from synth.quality.request import Request
from tests.quality.judged import judged
from tests.quality.labelled import GOOD, ROWS, UNSEEN, UNSEEN2

RECORDS = [*GOOD, *ROWS, *UNSEEN, *UNSEEN2]
FILTERS = [
    Length(column="instruction", unit="words", max=30),
    Length(unit="characters", max=600),
    Length(unit="lines", max=8),
    Request(),
    Request(column="response"),
    Answer(),
    Refusal(patterns=["how about"]),
    Refusal(column="instruction"),
    Repetition(),
    Repetition(looped_words={3: 0.02}, duplicate_words={4: 0.1}, min_words=20),
    Gibberish(),
    Language(column="response", among=["de"]),
]
LEFT = 400


def doomed(step, instruction, response, left=LEFT):
    found = step.doomed({"instruction": instruction, "response": response}, left)
    return found and found.reason


async def rejected(step, instruction, response):
    return await judged(step, instruction=instruction, response=response)


def continued(rng, text, other):
    """Something that may follow: what did, another text, or the like of what was there, joined in any way."""
    more = rng.choice([text[len(text) // 2 :], other, other.upper(), "\n".join(other.split()), f'" {other} "', "`"])
    return rng.choice(["", " ", "\n", "\n\n", '"', "```\n", "|", "\n- "]) + more


@pytest.mark.parametrize("step", FILTERS, ids=lambda step: f"{type(step).__name__}-{step.rejections[-1]}")
async def test_what_is_rejected_by_its_beginning_is_rejected_whatever_follows(step):
    await rejected(step, "Why is the sky blue?", "Rayleigh.")  # it has loaded what it needs
    rng = random.Random(3)
    early = 0
    for record in RECORDS:
        asked, said = record["instruction"] or "x", record["response"] or "x"
        if rng.random() < 0.3:
            said = f"{said}\n{' '.join(said.split()[-rng.randint(3, 40) :] * rng.randint(3, 30))}"
        if len(said) < 5:
            continue
        cut = rng.randrange(3, len(said))
        begun = said[:cut].strip()
        grows = "instruction" if getattr(step, "column", "") == "instruction" else "response"
        texts = {"instruction": asked, "response": said}
        begun = texts[grows][: rng.randrange(1, len(texts[grows]) + 1)].strip()
        if not begun or doomed(step, **(texts | {grows: begun})) is None:
            continue
        early += 1
        for ending in ("", continued(rng, texts[grows], rng.choice(RECORDS)["response"] or "x")):
            ending = " ".join(ending.split(" ")[: LEFT // 4])
            whole = texts | {grows: f"{begun}{ending}"}
            assert await rejected(step, **whole) is not None, whole
    assert early > 0 or isinstance(step, Gibberish | Refusal)


async def test_a_loop_of_prose_is_found_before_it_has_run_to_max_tokens():
    said = " ".join(f"The {n}th thing to know is how {n * n} birds sing in the trees." for n in range(20))
    loop = "And then we go to the river again to see the boats of our friends. " * 20
    assert len(said) > 1000
    assert doomed(Repetition(adjacent=False), "Tell me.", said, 1800) is None
    assert doomed(Repetition(), "Tell me.", said + " " + loop[:150], 1800) == "repeated_words"
    assert doomed(Repetition(adjacent=False), "Tell me.", said + " " + loop[:600], 1800) is None  # may be mended
    assert doomed(Repetition(adjacent=False), "Tell me.", said + " " + loop, 1800) == "repeated_words"


async def test_a_song_may_go_round():
    song = "Row, row, row your boat\nGently down the stream\nMerrily we go along\nLife is but a dream\n" * 20
    assert doomed(Repetition(), "Sing.", song, 100) is None


def test_a_length_in_tokens_is_not_judged_early_and_an_excused_record_is_not_either():
    assert doomed(Length(unit="words", max=2), "x", "one two three") == "too_long"
    assert doomed(Length(unit="words", max=3), "x", "one two three") is None
    assert doomed(Length(unit="words", min=5), "x", "one two three") is None
    assert Length(max=2, unless={"kind": ["code"]}).doomed({"response": "a b c", "kind": "code"}, 9) is None


def test_an_apology_for_what_it_is_declines_whatever_follows_and_others_may_be_followed_by_an_answer():
    sorry = "I'm sorry for the confusion, but as a chatbot designed to assist with art, I'm not equipped to help. "
    assert doomed(Refusal(), "x", sorry + "Here is") == "refusal"
    assert doomed(Refusal(), "x", sorry.strip()) is None  # the sentence may go on
    assert doomed(Refusal(), "x", "I'm sorry, but I can't help with that. You may") is None


def test_an_opening_in_the_assistants_voice_is_no_users_but_a_welcome_may_be():
    assert doomed(Request(), "Sure, here is a list of the ten best places to visit in Italy: Rome", None)
    assert doomed(Request(), '"Sure, here is a list of the ten best places to visit in Italy: Rome', None) is None
    assert doomed(Request(), "Welcome to the museum of modern art, dear visitors, it is nice that", None) is None


def test_scaffolding_in_a_whole_line_is_a_leak_and_in_code_it_is_none():
    assert doomed(Answer(), "x", "Yes.\n### Instruction: go on\nand") == "leak"
    assert doomed(Answer(), "x", "Yes.\n```\n### Instruction: go on\nand") is None


@pytest.mark.parametrize("step", FILTERS)
def test_where_there_is_no_text_yet_nothing_is_judged(step):
    assert doomed(step, None, None) is None and doomed(step, "", "") is None
    assert not inspect.iscoroutinefunction(step.doomed)
