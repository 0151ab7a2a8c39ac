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
OF_SMALL_MODELS = [
    "I'm sorry for any confusion, but as a chatbot designed to help with travel, I don't have the capability to book.",
    "I'm sorry for your loss, but as a helpful AI, I'm not equipped to help you plan. I recommend your local shop.",
    "I don't have access to real-time data.",
    "I don't have access to real-time data, so I can't tell you the weather in Paris. Please check a weather website.",
    "As an AI, I don't have feelings, but I'm here to help you with any questions that you have.",
    "I am a text-based AI and I do not have the capability to view images.",
    "I'm just an AI assistant and don't have access to your files.",
    "Thank you for asking. Unfortunately, I'm not able to assist with emergencies. Please call your doctor.",
    "I'm glad to help with your project. However, I must say that my expertise lies in the realm of music, and I'm "
    "not equipped to help with your project. If you need help with another one, I can certainly assist you.",
    "I'm sorry for any inconvenience, but as a product-based AI, I'm unable to make offers. However, I can provide a "
    "recommendation that is based on your preferences.",
    "I won't be able to help you with that. Is there anything else?",
    "As a digital assistant, I am not able to make purchases for you.",
    "Sorry, no.",
    "As a chatbot, I'm designed to provide information and assistance, not to offer exclusive content.",
    "Sure, I'd be happy to help. However, I'm not a chatbot capable of providing medical advice.",
]
SOFT = [
    "I'm sorry, but I do not have enough information to answer this question.",
    "I don't know the answer to that question.",
    "I don't have the expertise for medical questions. Please ask a doctor.",
    "I'm not qualified to give legal advice. Please consult a lawyer.",
    "That's outside my area of expertise.",
    "I can only help with questions about cooking.",
    "I'd rather not answer that.",
    "I'm sorry, but I couldn't find any information on that.",
    "Sorry, that's not something I can do.",
    "I can't see images. Can you describe it to me?",
    "Your request cannot be fulfilled.",
]
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


@pytest.mark.parametrize("text", OF_SMALL_MODELS)
async def test_a_refusal_in_the_words_of_small_models_is_found(text):
    assert await judged(Refusal(), response=text) == "refusal"


@pytest.mark.parametrize("text", SOFT)
async def test_what_may_begin_an_answer_declines_where_nothing_is_said_beside_it(text):
    assert await judged(Refusal(), response=text) == "refusal"
    answer = " What is known of it is that it began in Paris in 1889, and that it drew two million people."
    assert await judged(Refusal(), response=text + answer) is None


@pytest.mark.parametrize(
    "text",
    [
        "As an AI, I don't have feelings, but here is a poem:\n\nThe moon is high,\nthe night is deep.",
        "As an AI, I don't have a favorite color, but many people love blue for its calm.",
        "I don't have access to real-time data, but as of 2023 about 37 million people lived in Tokyo and its suburbs.",
        "Dear Mr. Smith,\n\nI am sorry, but I am unable to provide the report by Friday.",
        "\"I'm sorry, but I can't help you,\" said the wolf, and went his way through the forest.",
        'The phrase "as an AI language model, I cannot" is common in the answers of chatbots.',
        "I'm sorry to hear that you're sad. Here is what may help: go for a walk, call a friend, and sleep well.",
        "As a machine learning model, a decision tree does not need scaled features.",
        "As an assistant manager, I have not only led a team of ten but also cut costs by a fifth.",
        "I don't know of a better book on the subject than that of Strunk and White, which is short and clear.",
        "It is not appropriate to wear white to a wedding; choose a pastel.",
        "The text does not say who she is.",
        "We cannot say that the groups differ: p = 0.3 is above 0.05.",
        "If you can't provide a receipt, the shop will not refund you.",
        "I am unable to attend the meeting on Friday.",
        "The chair was designed to be looked at, not to be sat on. I'm told that it is in a museum in Vienna.",
    ],
)
async def test_a_disclaimer_before_an_answer_is_none_nor_are_the_words_of_others(text):
    assert await judged(Refusal(), response=text) is None


async def test_an_answer_that_opens_with_a_refusal_and_goes_on_at_length_is_kept():
    text = "I can't give medical advice, but here is what is known. " + "More is known than that. " * 40
    assert await judged(Refusal(), response=text) is None
    assert await judged(Refusal(max_words=None), response=text) == "refusal"


async def test_offers_of_help_are_no_answer_however_many():
    text = (
        "I'm not equipped to plan that. " + "I'm here to help you with anything. If you need more, let me know. " * 10
    )
    assert await judged(Refusal(), response=text) == "refusal"


async def test_an_answer_after_an_apology_for_being_what_it_is_contradicts_itself():
    text = (
        "I'm sorry for the confusion, but as a SmolLM AI, I'm unable to provide travel tips. However, here are some. "
    )
    assert await judged(Refusal(), response=text + "Rome is worth a visit in spring. " * 40) == "refusal"


async def test_patterns_of_ones_own_are_looked_for_whatever_their_case():
    step = Refusal(languages=[], patterns=[r"^nope\b"])
    assert await judged(step, response="Nope, not today.") == "refusal"
    assert await judged(step, response="I'm sorry, but I can't assist.") is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [({"patterns": ["("]}, "is no regular expression"), ({"languages": []}, "one of them is needed")],
)
def test_patterns_that_can_not_be_used_are_refused(keys, expected):
    with pytest.raises(ValueError, match=expected):
        Refusal(**keys)
