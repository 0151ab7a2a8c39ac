"""Detects responses that refuse the request.

By their first sentences: a model that refuses does so there, and an answer may well use the same words later. A
sentence declines if the assistant says that it can't, may not, isn't made for it or has no access. Whether the response
is a refusal then depends on the rest:

* An apology for what it is ("I'm sorry, but as a chatbot I'm not equipped to ...") is always a refusal: either nothing
  follows, or an answer that contradicts it.
* A disclaimer of human traits ("As an AI, I have no feelings, but here is a poem") is none if an answer follows.
* A sentence that may begin an answer ("I'm not familiar with it") is a refusal if hardly anything else is said.
* Any other is a refusal unless more than `max_words` follow. Apologies, offers of help and questions don't count.

Limits: refusals in other languages, refusals with another beginning, and whether refusing was right. Text in quotation
marks or in a letter is not the assistant's own. If the instruction asks for a refusal ("decline this invitation
politely"), a good answer may be rejected. Languages other than English
have only the last rule. The phrases are in synth/quality/refusal_phrases.py.
"""

import re
from collections.abc import Sequence
from dataclasses import field
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality import refusal_phrases as phrases
from synth.quality.refusal_phrases import LANGUAGES, Language
from synth.quality.text_filter import TextFilter
from synth.quality.texts import beginnings, texts, unquoted, unquoted_beginning
from synth.records import Record, Rejection

OPENING = 350  # characters
MAX_WORDS = 80
LEAST_ANSWER = 5  # words after a disclaimer of what is human
LEAST_BESIDE = 12  # words beside what may as well begin an answer

_LETTER = re.compile(r"\W*(?:dear\b|subject\s*:|to whom it may)", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")


def refusal(
    response: str,
    languages: Sequence[Language] = LANGUAGES,
    patterns: Sequence[str] = (),
    opening: int = OPENING,
    max_words: int | None = MAX_WORDS,
) -> str | None:
    """The words by which a response declines, or None where it does not."""
    if _LETTER.match(response):
        return None
    text = unquoted(response)
    own = _any_of(tuple(patterns))
    declining = _declining(tuple(languages))
    if patterns and (found := own.search(" ".join(text[:opening].split()))):
        return found[0]
    sentences = [(match.start(), match[0].strip()) for match in _SENTENCE.finditer(text)]
    said, english = [sentence for _, sentence in sentences], "en" in languages
    for start, sentence in sentences:
        if start >= opening:
            return None
        if not (found := declining.search(sentence)):
            if english and (found := phrases.SOFT.search(sentence)) and _answer(said, phrases.SOFT) < LEAST_BESIDE:
                return found[0]
            continue
        if english and phrases.APOLOGY_FOR_ITSELF.search(sentence):
            return found[0]
        human = english and phrases.HUMAN.search(sentence) is not None
        answer = _answer(said, declining)
        if human and answer >= LEAST_ANSWER:
            return None
        return None if max_words is not None and answer > max_words else found[0]
    return None


def declined(response: str, languages: Sequence[Language], patterns: Sequence[str], opening: int) -> str | None:
    """The words by which a beginning declines whatever follows it: one's own, or an apology for what it is, where that
    is the first sentence that declines. An answer may follow all others."""
    text = unquoted_beginning(response)
    if _LETTER.match(response):
        return None
    own = _any_of(tuple(patterns))
    if len(text) > opening and (found := own.search(" ".join(text[:opening].split()))):
        return found[0]
    declining = _declining(tuple(languages))
    for match in list(_SENTENCE.finditer(text))[:-1]:  # the last may not be over
        if match.start() >= opening:
            return None
        if declining.search(match[0].strip()):
            apology = phrases.APOLOGY_FOR_ITSELF.search(match[0].strip()) if "en" in languages else None
            return apology[0] if apology else None
    return None


def _compiled(patterns: list[str]) -> list[str]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return patterns


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Refusal(TextFilter):
    """Rejects a record, as `refusal`, if a text in `column` opens with one.

    Looked at are the sentences that begin in the first `opening` characters, in `languages`, and those characters for
    `patterns` of one's own, regular expressions whose case does not matter. A text with more than `max_words` words
    beside its refusal is an answer, null for none. Also: `no_COLUMN`.
    """

    languages: list[Language] = field(default_factory=lambda: list(LANGUAGES))
    patterns: Annotated[list[str], AfterValidator(_compiled)] = field(default_factory=list)
    opening: Annotated[int, Field(ge=1)] = OPENING
    max_words: Annotated[int, Field(ge=1)] | None = MAX_WORDS

    reasons: ClassVar[tuple[str, ...]] = ("refusal",)

    def __post_init__(self) -> None:
        if not self.languages and not self.patterns:
            raise ValueError("languages, patterns: one of them is needed")

    def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            if found := refusal(text, self.languages, self.patterns, self.opening, self.max_words):
                raise Rejection("refusal", found)
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """Of a text that declines by what no answer can follow."""
        for text in beginnings(record, self.column):
            if found := declined(text, self.languages, self.patterns, self.opening):
                return Rejection("refusal", found)
        return None


def _answer(sentences: Sequence[str], declining: re.Pattern[str]) -> int:
    """The number of words that are neither refusal nor empty; of one that declines those after a "but" are."""
    words = 0
    for sentence in sentences:
        said = re.split(r"\b(?:but|however)\b,?", sentence)[-1] if declining.search(sentence) else sentence
        if not declining.search(said) and not phrases.EMPTY.search(said.strip()):
            words += len(said.split())
    return words


@cache
def _declining(languages: tuple[Language, ...]) -> re.Pattern[str]:
    return _any_of(tuple(pattern for language in languages for pattern in phrases.patterns(language)))


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Any of them, or nothing where there are none."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)", re.IGNORECASE)
