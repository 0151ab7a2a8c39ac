"""The kinds of constraints that a rule can check: how each is worded, how its parameters are drawn, and its check.

The idea is IFEval's (arXiv 2311.07911): ask for what can be counted (counting.py). The kinds, their wordings and their
rules are Synth's own. synth/verifiers/constraints.py draws constraints of these kinds and verifies them.

Promises: the time of a check is linear in the length of the answer, so that no answer blocks the event loop.
"""

import json
import random
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.quality.language import Language
from synth.quality.texts import prose
from synth.records import Rejection
from synth.verifiers import counting

Parameters = Mapping[str, Any]
Check = Callable[[str, Parameters], bool | Awaitable[bool]]

WORDS = (
    "window garden river paper morning number story bridge market winter circle engine letter mountain pocket signal "
    "teacher travel village weather balance corner detail effort future habit island journey kitchen lesson mirror"
).split()
ENDINGS = ("That is all for now.", "I hope this is of use.", "This is where I stop.", "Thank you for reading.")
BEGINNINGS = ("Here is what I think:", "Let me begin with this:", "In short:", "A few words first:")
LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese"}
_ALL_ASPECTS = ("length", "structure", "start", "end", "case", "marks", "language", "emphasis", "fields")


@dataclass(frozen=True)
class Kind:
    """A kind of constraint. `about` names the aspects of an answer that it restricts: two kinds with a common aspect
    may contradict each other and are not drawn together. `wordings` are ways to ask for it, with the names of
    parameters in braces. `check` tells whether an answer satisfies it with these parameters. `draw` returns random
    parameters."""

    about: Sequence[str]
    wordings: Sequence[str]
    check: Check
    draw: Callable[[random.Random], dict[str, Any]] = lambda rng: {}


def _count(least: int, most: int, step: int = 1) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"n": rng.randrange(least, most + 1, step)}


def _some_words(least: int, most: int) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"words": rng.sample(WORDS, rng.randint(least, most))}


def _is_object(text: str, keys: Collection[str]) -> bool:
    """Whether the answer is a JSON object with these keys, alone or in a code block."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.removeprefix("```").removeprefix("json").removesuffix("```")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(keys) <= set(found)


async def _is_in_language(text: str, code: str) -> bool:
    """Whether the prose of the answer, code blocks excluded, is in the language with this ISO 639-1 code."""
    if not prose(text).strip():
        return False
    try:
        await Language(column="response", among=[code])({"response": text}, None)
    except Rejection:
        return False
    return True


KINDS: dict[str, Kind] = {
    "min_words": Kind(
        ["length"],
        ["Write at least {n} words.", "Your answer should have {n} words or more.", "Use no fewer than {n} words."],
        lambda text, given: counting.words(text) >= given["n"],
        _count(50, 250, 10),
    ),
    "max_words": Kind(
        ["length"],
        ["Keep it to {n} words at the most.", "Use no more than {n} words.", "Your answer may have up to {n} words."],
        lambda text, given: 0 < counting.words(text) <= given["n"],
        _count(30, 150, 10),
    ),
    "min_sentences": Kind(
        ["length"],
        ["Write at least {n} sentences.", "Your answer should have {n} or more sentences."],
        lambda text, given: counting.sentences(text) >= given["n"],
        _count(3, 10),
    ),
    "max_sentences": Kind(
        ["length", "structure"],
        ["Answer in {n} sentences or fewer.", "Use at most {n} sentences."],
        lambda text, given: 0 < counting.sentences(text) <= given["n"],
        _count(2, 6),
    ),
    "paragraphs": Kind(
        ["structure"],
        [
            "Write exactly {n} paragraphs, with an empty line between them.",
            "Divide it into {n} paragraphs by blank lines.",
        ],
        lambda text, given: counting.paragraphs(text) == given["n"],
        _count(2, 5),
    ),
    "bullets": Kind(
        ["structure"],
        [
            'Give exactly {n} bullet points, each on a line that begins with "- ".',
            "Use {n} bullet points, no more, no fewer.",
        ],
        lambda text, given: counting.bullets(text) == given["n"],
        _count(2, 8),
    ),
    "numbered": Kind(
        ["structure"],
        ["Put it as a numbered list from 1 to {n}.", "List {n} items, numbered from 1. to {n}."],
        lambda text, given: counting.list_numbers(text) == list(range(1, given["n"] + 1)),
        _count(3, 8),
    ),
    "table": Kind(
        ["structure", "marks"],
        [
            "Include a Markdown table with a header and {n} rows.",
            "Add a table in Markdown, of {n} rows under its header.",
        ],
        lambda text, given: counting.table_rows(text) == given["n"] + 1,
        _count(2, 5),
    ),
    "parts": Kind(
        ["structure", "case"],
        [
            'Divide it into {n} sections, headed "Part 1", "Part 2" and so on.',
            'Use {n} parts; head each one "Part" and its number.',
        ],
        lambda text, given: counting.part_numbers(text) == list(range(1, given["n"] + 1)),
        _count(2, 4),
    ),
    "two_versions": Kind(
        ["structure", "end"],
        ["Write two different versions, with a line of six equals signs (======) between them."],
        lambda text, given: (
            len({part.strip() for part in text.split("======")} - {""}) == 2 == text.count("======") + 1
        ),
    ),
    "json": Kind(
        _ALL_ASPECTS,
        [
            "Answer with nothing but a JSON object, which has the keys {words}.",
            "The whole answer has to be a JSON object with the keys {words}.",
        ],
        lambda text, given: _is_object(text, given["words"]),
        _some_words(1, 3),
    ),
    "title": Kind(
        ["start"],
        [
            'Begin with a title on a line of its own that starts with "# ".',
            'The first line should be a heading, written as "# Title".',
        ],
        lambda text, given: re.match(r"# +\S[^\n]*\n", text.lstrip()) is not None,
    ),
    "beginning": Kind(
        ["start", "language", "case"],
        ['Begin your answer with the words "{text}"', 'The first words have to be "{text}"'],
        lambda text, given: text.lstrip().startswith(given["text"]),
        lambda rng: {"text": rng.choice(BEGINNINGS)},
    ),
    "ending": Kind(
        ["end", "language", "case"],
        ['End with this sentence, and nothing after it: "{text}"', 'The last words of your answer have to be "{text}"'],
        lambda text, given: text.rstrip().endswith(given["text"]),
        lambda rng: {"text": rng.choice(ENDINGS)},
    ),
    "postscript": Kind(
        ["end", "case"],
        ['Add a postscript that begins with "P.S."', 'After your answer, write a line that starts with "P.S."'],
        lambda text, given: re.search(r"^[ \t]*P\.S\.[ \t]*\S", text, re.MULTILINE) is not None,
    ),
    "ends_with_question": Kind(
        ["end"],
        ["End your answer with a question.", "The last sentence has to be a question."],
        lambda text, given: counting.last_line(text).rstrip("\"'”*_) ").endswith(("?", "？")),
    ),
    "quoted": Kind(
        ["start", "end", "structure"],
        [
            'Put the whole answer between double quotation marks (").',
            "Begin and end your answer with a double quotation mark.",
        ],
        lambda text, given: len(text.strip()) > 2 and text.strip()[0] in '"“' and text.strip()[-1] in '"”',
    ),
    "keywords": Kind(
        ["keywords", "language"],
        ["Use the words {words}.", "Your answer has to contain the words {words}."],
        lambda text, given: all(counting.occurrences(text, word) for word in given["words"]),
        _some_words(1, 3),
    ),
    "keyword_times": Kind(
        ["keywords", "language"],
        ['Use the word "{word}" at least {n} times.', 'Let the word "{word}" occur {n} times or more.'],
        lambda text, given: counting.occurrences(text, given["word"]) >= given["n"],
        lambda rng: {"word": rng.choice(WORDS), "n": rng.randint(2, 4)},
    ),
    "without_words": Kind(
        ["forbidden", "language"],
        ["Do not use the words {words}.", "Avoid these words altogether: {words}."],
        lambda text, given: bool(text.strip()) and not any(counting.occurrences(text, word) for word in given["words"]),
        lambda rng: {
            "words": rng.sample(["very", "important", "also", "because", "really", "however", "good", "many"], 2)
        },
    ),
    "letter_times": Kind(
        ["letters", "language"],
        ['Use the letter "{letter}" at least {n} times.', 'The letter "{letter}" should occur {n} times or more.'],
        lambda text, given: text.lower().count(given["letter"]) >= given["n"],
        lambda rng: {"letter": rng.choice("bfgkpvw"), "n": rng.randint(4, 12)},
    ),
    "lowercase": Kind(
        ["case"],
        ["Write everything in lowercase letters.", "Use no capital letters at all."],
        lambda text, given: bool(counting.letters(text)) and text == text.lower(),
    ),
    "uppercase": Kind(
        ["case"],
        ["WRITE EVERYTHING IN CAPITAL LETTERS.", "Use capital letters only."],
        lambda text, given: bool(counting.letters(text)) and text == text.upper(),
    ),
    "capital_words": Kind(
        ["case"],
        ["Write at least {n} words in capital letters throughout.", "Have {n} or more words all in capitals."],
        lambda text, given: counting.capital_words(text) >= given["n"],
        _count(2, 5),
    ),
    "no_commas": Kind(
        ["marks"],
        ["Do not use any commas.", "Write without a single comma."],
        lambda text, given: bool(text.strip()) and not re.search("[,，、]", text),
    ),
    "no_digits": Kind(
        ["digits", "structure"],
        ["Use no digits; write numbers as words.", "There must be no digit in your answer."],
        lambda text, given: bool(text.strip()) and not any(map(str.isdigit, text)),
    ),
    "no_exclamation": Kind(
        ["exclamation"],
        ["Do not use exclamation marks.", "There must be no exclamation mark in it."],
        lambda text, given: bool(text.strip()) and not re.search("[!！]", text),
    ),
    "bold": Kind(
        ["emphasis"],
        [
            "Set at least {n} phrases in bold, as in **this**.",
            "Put {n} or more passages between double asterisks (**).",
        ],
        lambda text, given: counting.bold_phrases(text) >= given["n"],
        _count(1, 4),
    ),
    "placeholders": Kind(
        ["fields"],
        [
            "Leave at least {n} placeholders in square brackets, such as [name].",
            "Use {n} or more placeholders like [date].",
        ],
        lambda text, given: counting.placeholders(text) >= given["n"],
        _count(1, 4),
    ),
    "language": Kind(
        ["language", "keywords", "forbidden"],
        ["Answer in {language}.", "Write your whole answer in {language}, and in no other language."],
        lambda text, given: _is_in_language(text, given["code"]),
        lambda rng: {"code": rng.choice(list(LANGUAGES))},
    ),
}
