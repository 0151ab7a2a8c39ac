"""Languages, by texts as users write them."""

import pickle

import pytest

from synth.quality.language import CODES, Language
from tests.quality.judged import judged
from tests.quality.labelled import GRID, QUERIES

TEXTS = {
    "en": [
        "What is the capital of France?",
        "Explain how photosynthesis works in simple terms.",
        "Please translate 'Guten Morgen' into English.",
        "Write a Python function that reverses a list.",
    ],
    "de": ["Was ist die Hauptstadt von Frankreich?", "Schreibe eine Python-Funktion, die eine Liste umkehrt."],
    "fr": ["Quelle est la capitale de la France ?", "Écris une fonction Python qui inverse une liste."],
    "es": ["¿Cuál es la capital de Francia?", "Escribe una función en Python que invierta una lista."],
    "nl": ["Wat is de hoofdstad van Frankrijk?"],
    "pt": ["Qual é a capital da França?"],
    "zh": ["法国的首都是哪里？请用简单的话解释光合作用，并举一个例子。"],
    "ja": ["フランスの首都はどこですか？リストを逆順にする関数を書いてください。"],
    "ru": ["Какая столица Франции? Напиши функцию на Python."],
}
PAIRS = [(code, text) for code, texts in TEXTS.items() for text in texts]


@pytest.mark.parametrize(("code", "text"), PAIRS)
async def test_a_text_is_kept_in_its_own_language_and_in_no_other(code, text):
    assert await judged(Language(among=code), instruction=text) is None
    others = ["en"] if code != "en" else ["de", "fr", "es"]
    assert await judged(Language(among=others), instruction=text) == "wrong_language"


async def test_one_of_several_wanted_languages_will_do():
    assert await judged(Language(among=["de", "fr"]), instruction=TEXTS["fr"][0]) is None


@pytest.mark.parametrize("text", ["ok", "12 + 7 = ?", "```\nwhile True: print(1, 2, 3)\nfor x in y: pass\n```"])
async def test_what_is_too_little_to_tell_is_kept(text):
    assert await judged(Language(among="fr"), instruction=text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Translate into English: Le chien était là hier, et il a dormi toute la journée.",
        "Summarize this in one sentence:\n\nLe chat est un animal domestique qui dort beaucoup et mange du poisson.",
        'Translate "Wo ist der Bahnhof, bitte? Ich habe meinen Koffer verloren." into English.',
        "What does 'je ne sais quoi, mon ami' mean?",
    ],
)
async def test_a_request_may_bring_material_in_another_language(text):
    assert await judged(Language(), instruction=text) is None


@pytest.mark.parametrize(
    "text", ["Traduis en anglais : le chien dort toute la journée.", "Question : quelle est la capitale de la France ?"]
)
async def test_a_request_in_another_language_is_not_saved_by_its_colon(text):
    assert await judged(Language(), instruction=text) == "wrong_language"


@pytest.mark.parametrize("text", QUERIES["mixed"])
async def test_english_with_words_of_other_languages_is_english(text):
    if "Lorem" not in text:  # which is Latin to any identifier
        assert await judged(Language(), instruction=text) is None


async def test_short_queries_are_told_apart_nearly_always():
    async def rejected(texts, language="en"):
        return [text for text in texts if await judged(Language(among=language), instruction=text)]

    foreign = [text for texts in QUERIES["foreign"].values() for text in texts]
    assert len(await rejected(GRID[::7])) <= 0.03 * len(GRID[::7])
    assert len(await rejected(QUERIES["short"])) <= 0.02 * len(QUERIES["short"])
    assert len(await rejected(foreign)) >= 0.92 * len(foreign)
    for code, texts in QUERIES["foreign"].items():
        assert not await rejected(texts, code)


async def test_letters_at_random_are_in_no_language():
    assert await judged(Language(), instruction="asdkjh qwelkj zxmcn qpwoei zmxncb alskdj") == "wrong_language"


def test_a_language_that_is_not_known_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="among: there is no language 'eng'; did you mean 'en'"):
        Language(among=["eng"])


def test_the_codes_are_those_of_the_identifier():
    from synth.quality.language import load_identifier

    assert {code for code in load_identifier().labels if len(code) == 2} == CODES


def test_the_step_goes_to_other_processes():
    assert pickle.loads(pickle.dumps(Language(among="de"))) == Language(among="de")
