"""Responses that decline, and those that only sound like it."""

import pytest

from synth.quality.refusal import LANGUAGES, Refusal
from tests.quality.judged import judged

REFUSALS = {
    "en": [
        "I'm sorry, but I can't assist with that request.",
        "I cannot provide instructions on how to build a weapon.",
        "As an AI language model, I don't have personal opinions.",
        "I must respectfully decline to answer.",
        "I’m unable to browse the internet.",
        "Sorry, I can't help you with this.",
        "I apologize, but I cannot create that content.",
        "I'm afraid I can't do that, Dave.",
        "I am sorry, but as an AI I have no feelings.",
    ],
    "de": [
        "Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
        "Leider kann ich diese Anfrage nicht beantworten.",
        "Als KI habe ich keine Meinung.",
    ],
    "fr": ["Je suis désolé, mais je ne peux pas vous aider.", "En tant qu'IA, je ne peux pas avoir d'opinion."],
    "es": ["Lo siento, pero no puedo ayudarte con eso.", "Como modelo de lenguaje, no tengo opiniones."],
    "it": ["Mi dispiace, ma non posso aiutarti con questo."],
    "pt": ["Desculpe, mas não posso ajudar com isso."],
    "zh": ["很抱歉，我无法提供该信息。", "作为一个人工智能，我没有个人观点。"],
    "ja": ["申し訳ありませんが、そのご質問にはお答えできません。"],
    "ru": ["Извините, но я не могу помочь с этим."],
}
PAIRS = [(code, text) for code, texts in REFUSALS.items() for text in texts]


@pytest.mark.parametrize(("code", "text"), PAIRS)
async def test_a_refusal_is_found_in_its_language(code, text):
    assert await judged(Refusal(languages=[code]), response=text) == "refusal"
    assert await judged(Refusal(), response=text) == "refusal"


def test_every_language_has_a_test():
    assert set(REFUSALS) == set(LANGUAGES)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry for your loss. Losing a pet is hard.",
        "Dear Anna,\n\nI'm sorry I can't make it to your party on Friday.",
        "I cannot help but admire the view from here.",
        "I can't recommend this book enough!",
        "You can't divide by zero, because no number times zero gives one.",
        "As an AI assistant, I can help you plan.",
        "Of course! I can help you with that.",
        "Leider regnet es heute in Berlin.",
        "Je suis ravi de vous aider !",
        "Lo siento mucho por tu pérdida.",
        "抱歉让你久等了，答案是三。",
        "The dialogue ends when he says, after a long and rather tedious speech about his own merits and those of his "
        "friends, his horses, his dogs and all the houses that he owned or would own: I cannot help you with it.",
    ],
)
async def test_what_only_sounds_like_one_is_kept(text):
    assert await judged(Refusal(), response=text) is None


async def test_an_answer_that_opens_with_a_refusal_and_goes_on_at_length_is_kept():
    text = "I can't give medical advice, but here is what is known. " + "More is known than that. " * 40
    assert await judged(Refusal(), response=text) is None
    assert await judged(Refusal(max_words=None), response=text) == "refusal"


async def test_patterns_of_ones_own_are_looked_for_whatever_their_case():
    step = Refusal(languages=[], patterns=[r"^nope\b"])
    assert await judged(step, response="Nope, not today.") == "refusal"
    assert await judged(step, response="I'm sorry, but I can't assist.") is None


@pytest.mark.parametrize(
    ("keys", "told"),
    [({"patterns": ["("]}, "is no regular expression"), ({"languages": []}, "one of them is needed")],
)
def test_patterns_that_can_not_be_used_are_refused(keys, told):
    with pytest.raises(ValueError, match=told):
        Refusal(**keys)
