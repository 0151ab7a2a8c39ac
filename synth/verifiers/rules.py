"""Constraints on an answer that a rule can check: how each is drawn, worded for whoever answers, and checked.

The idea is IFEval's (arXiv 2311.07911): ask for what can be counted. The kinds, words and rules here are Synth's own. A
rule takes a time that grows with the text and no faster, so that the event loop goes on whatever a model writes. Two
constraints go together where nothing that one is `about` is the other's too.
"""

import json
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.quality.language import Language
from synth.quality.texts import prose
from synth.records import Rejection

Parameters = Mapping[str, Any]
Check = Callable[[str, Parameters], bool | Awaitable[bool]]

WORDS = (
    "window garden river paper morning number story bridge market winter circle engine letter mountain pocket signal "
    "teacher travel village weather balance corner detail effort future habit island journey kitchen lesson mirror"
).split()
ENDINGS = ("That is all for now.", "I hope this is of use.", "This is where I stop.", "Thank you for reading.")
BEGINNINGS = ("Here is what I think:", "Let me begin with this:", "In short:", "A few words first:")
LANGUAGES = {"de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese"}
_STOPS = re.compile(r"[.!?。！？]+")
_BULLET = re.compile(r"^[ \t]*[-*•][ \t]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(\d{1,9})[.)][ \t]+\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]+)\](?!\()")
_PART = re.compile(r"^[^\w\n]{0,20}Part (\d{1,9})\b", re.MULTILINE)
_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"[ \t]*\|[ \t:|-]+\|[ \t]*")
_EVERYTHING = ("length", "structure", "start", "end", "case", "marks", "language", "emphasis", "fields")


@dataclass(frozen=True)
class Kind:
    """`wordings` have the parameters' names in braces. `draw` gives parameters."""

    about: Sequence[str]
    wordings: Sequence[str]
    check: Check
    draw: Callable[[random.Random], dict[str, Any]] = lambda rng: {}


@dataclass(frozen=True)
class Constraint:
    kind: str
    parameters: Parameters

    def worded(self, rng: random.Random) -> str:
        wording = rng.choice(list(KINDS[self.kind].wordings))
        shown = {name: _listed(one) if isinstance(one, list) else one for name, one in self.parameters.items()}
        return wording.format(**shown, language=LANGUAGES.get(str(self.parameters.get("code")), ""))

    async def holds(self, text: str) -> bool:
        met = KINDS[self.kind].check(text, self.parameters)
        return met if isinstance(met, bool) else await met

    def as_text(self) -> str:
        return json.dumps({"kind": self.kind, **self.parameters}, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> "Constraint":
        """Raises ValueError where it is none, or has other parameters than its kind."""
        given = json.loads(text)
        if not isinstance(given, dict) or given.get("kind") not in KINDS:
            raise ValueError(f"there is no such constraint: {text[:100]}")
        parameters = {name: one for name, one in given.items() if name != "kind"}
        drawn = KINDS[given["kind"]].draw(random.Random(0))
        if _types(parameters) != _types(drawn):
            raise ValueError(f"{given['kind']} takes {', '.join(drawn) or 'no parameters'}: {text[:100]}")
        return cls(given["kind"], parameters)


def drawn(rng: random.Random, count: int, kinds: Sequence[str]) -> list[Constraint]:
    """Up to `count` constraints that go together, fewer where no more of these kinds do."""
    found: list[Constraint] = []
    taken: set[str] = set()
    for name in rng.sample(list(kinds), len(kinds)):
        if len(found) < count and taken.isdisjoint(KINDS[name].about):
            found.append(Constraint(name, KINDS[name].draw(rng)))
            taken.update(KINDS[name].about)
    return found


def _types(parameters: Parameters) -> dict[str, set[type]]:
    return {name: set(map(type, one)) if isinstance(one, list) else {type(one)} for name, one in parameters.items()}


def _listed(words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _count(least: int, most: int, step: int = 1) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"n": rng.randrange(least, most + 1, step)}


def _some_words(least: int, most: int) -> Callable[[random.Random], dict[str, Any]]:
    return lambda rng: {"words": rng.sample(WORDS, rng.randint(least, most))}


def _times(text: str, word: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


def _sentences(text: str) -> int:
    return len([one for one in _STOPS.split(text)[:-1] if any(map(str.isalnum, one))])


def _paragraphs(text: str) -> int:
    return len([one for one in re.split(r"\n[ \t]*\n", text.strip()) if one.strip()])


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _is_json(text: str, parameters: Parameters) -> bool:
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.removeprefix("```").removeprefix("json").removesuffix("```")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(parameters["words"]) <= set(found)


def _numbered(text: str, parameters: Parameters) -> bool:
    return [int(number) for number in _NUMBERED.findall(text)] == list(range(1, parameters["n"] + 1))


def _table(text: str, parameters: Parameters) -> bool:
    rows = [row for row in _ROW.findall(text) if not _RULE.fullmatch(row)]
    return len(rows) == int(parameters["n"]) + 1


def _parts(text: str, parameters: Parameters) -> bool:
    return [int(number) for number in _PART.findall(text)] == list(range(1, parameters["n"] + 1))


async def _in_language(text: str, parameters: Parameters) -> bool:
    if not prose(text).strip():
        return False
    try:
        await Language(column="response", among=[parameters["code"]])({"response": text}, None)
    except Rejection:
        return False
    return True


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1].strip() if text.strip() else ""


KINDS: dict[str, Kind] = {
    "min_words": Kind(
        ["length"],
        ["Write at least {n} words.", "Your answer should have {n} words or more.", "Use no fewer than {n} words."],
        lambda text, given: len(text.split()) >= given["n"],
        _count(50, 250, 10),
    ),
    "max_words": Kind(
        ["length"],
        ["Keep it to {n} words at the most.", "Use no more than {n} words.", "Your answer may have up to {n} words."],
        lambda text, given: 0 < len(text.split()) <= given["n"],
        _count(30, 150, 10),
    ),
    "min_sentences": Kind(
        ["length"],
        ["Write at least {n} sentences.", "Your answer should have {n} or more sentences."],
        lambda text, given: _sentences(text) >= given["n"],
        _count(3, 10),
    ),
    "max_sentences": Kind(
        ["length", "structure"],
        ["Answer in {n} sentences or fewer.", "Use at most {n} sentences."],
        lambda text, given: 0 < _sentences(text) <= given["n"],
        _count(2, 6),
    ),
    "paragraphs": Kind(
        ["structure"],
        [
            "Write exactly {n} paragraphs, with an empty line between them.",
            "Divide it into {n} paragraphs by blank lines.",
        ],
        lambda text, given: _paragraphs(text) == given["n"],
        _count(2, 5),
    ),
    "bullets": Kind(
        ["structure"],
        [
            'Give exactly {n} bullet points, each on a line that begins with "- ".',
            "Use {n} bullet points, no more, no fewer.",
        ],
        lambda text, given: len(_BULLET.findall(text)) == given["n"],
        _count(2, 8),
    ),
    "numbered": Kind(
        ["structure"],
        ["Put it as a numbered list from 1 to {n}.", "List {n} items, numbered from 1. to {n}."],
        _numbered,
        _count(3, 8),
    ),
    "table": Kind(
        ["structure", "marks"],
        [
            "Include a Markdown table with a header and {n} rows.",
            "Add a table in Markdown, of {n} rows under its header.",
        ],
        _table,
        _count(2, 5),
    ),
    "parts": Kind(
        ["structure", "case"],
        [
            'Divide it into {n} sections, headed "Part 1", "Part 2" and so on.',
            'Use {n} parts; head each one "Part" and its number.',
        ],
        _parts,
        _count(2, 4),
    ),
    "two_versions": Kind(
        ["structure", "end"],
        ["Write two different versions, with a line of six equals signs (======) between them."],
        lambda text, given: len({one.strip() for one in text.split("======")} - {""}) == 2 == text.count("======") + 1,
    ),
    "json": Kind(
        _EVERYTHING,
        [
            "Answer with nothing but a JSON object, which has the keys {words}.",
            "The whole answer has to be a JSON object with the keys {words}.",
        ],
        _is_json,
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
        lambda text, given: _last_line(text).rstrip("\"'”*_) ").endswith(("?", "？")),
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
        lambda text, given: all(_times(text, word) for word in given["words"]),
        _some_words(1, 3),
    ),
    "keyword_times": Kind(
        ["keywords", "language"],
        ['Use the word "{word}" at least {n} times.', 'Let the word "{word}" occur {n} times or more.'],
        lambda text, given: _times(text, given["word"]) >= given["n"],
        lambda rng: {"word": rng.choice(WORDS), "n": rng.randint(2, 4)},
    ),
    "without_words": Kind(
        ["forbidden", "language"],
        ["Do not use the words {words}.", "Avoid these words altogether: {words}."],
        lambda text, given: bool(text.strip()) and not any(_times(text, word) for word in given["words"]),
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
        lambda text, given: bool(_letters(text)) and text == text.lower(),
    ),
    "uppercase": Kind(
        ["case"],
        ["WRITE EVERYTHING IN CAPITAL LETTERS.", "Use capital letters only."],
        lambda text, given: bool(_letters(text)) and text == text.upper(),
    ),
    "capital_words": Kind(
        ["case"],
        ["Write at least {n} words in capital letters throughout.", "Have {n} or more words all in capitals."],
        lambda text, given: len([w for w in re.findall(r"[^\W\d_]{2,}", text) if w.isupper()]) >= given["n"],
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
        lambda text, given: len([one for one in _BOLD.findall(text) if _letters(one)]) >= given["n"],
        _count(1, 4),
    ),
    "placeholders": Kind(
        ["fields"],
        [
            "Leave at least {n} placeholders in square brackets, such as [name].",
            "Use {n} or more placeholders like [date].",
        ],
        lambda text, given: len([one for one in _PLACEHOLDER.findall(text) if _letters(one)]) >= given["n"],
        _count(1, 4),
    ),
    "language": Kind(
        ["language", "keywords", "forbidden"],
        ["Answer in {language}.", "Write your whole answer in {language}, and in no other language."],
        _in_language,
        lambda rng: {"code": rng.choice(list(LANGUAGES))},
    ),
}
