"""Detects a text that only states something: a paragraph of an article, or a letter to somebody else.

Base models and models drawn without a system prompt write such texts where a user's request should be. Nothing can be
answered to one, so models go on with it, copy it or comment on it.

Of anything that may be a request it promises to find nothing: a question, an order, a wish, a word to the reader, a
mention of a task or of given material, code or a list. A user may tell of themselves without asking ("I can't log in"),
so texts in the first person are left out too, except letters.

Limits: English only.
"""

import re

from synth.quality.asking import VERBS, asks

_ARTICLE_WORDS = re.compile(r"\b(?:the|and|that|with|this|are|they|their|has|been|which)\b", re.IGNORECASE)
LEAST_ARTICLE_WORDS = 2  # different ones: few texts in other languages have two
_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|will|would|can|could|may|might|does|did|said|\w{2,}ed)\b", re.IGNORECASE
)
_MAY_ASK = re.compile(
    r"\b(?:i|me|my|we|us|our|you|your|yours|given|provided|following|below|above|tasks?|should|must|let's|needs?"
    r"|needed|ideas?)\b|[`{}<>|=\[\]_]|^\W*(?:[-*•+]|\d{1,3}[.)])\s",
    re.IGNORECASE | re.MULTILINE,
)
_ENDS = (".", "!", "…")
_CLOSERS = "\"'”’*)"
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
# "Curate a playlist": an order by a verb that is on no list, unless the first word is one of those below.
_OBJECT = (
    r"(?:an?|the|all|this|these|that|any|each|some|every|it|them|him|her|his|their|its|up|out|for|at|to|whether"
    r"|how|what|why|if)"
)
_MAYBE_ORDER = re.compile(rf"\W*(\w+) {_OBJECT}\b")
_LATER_ORDER = re.compile(rf",\s+(?:please\s+)?(\w+)\s+{_OBJECT}\b", re.IGNORECASE)
_NO_ORDER = frozenset(
    """a about across after against all along also although among an and are as at because before between both but by
    despite during each even every for from furthermore given had has have he hence here how however if in into is it
    it's its just like many moreover more most much near not now of off on once one only or over per recently she since
    so some such than that the their then there these they this those though three through throughout thus to today
    toward towards two under unless until upon via was were what when where whereas which while who with within without
    yet""".split()
)
_NO_VERB = re.compile(r"(?:ed|ly|\w{3}ing)$")
_TO_SOMEBODY = re.compile(
    r"\W*(?:dear|hi|hello|hey)\s+(?:(?:mr|mrs|ms|dr)\.?\s+)?([A-Z]\w+)\s*[,!.:]?\s*\n", re.IGNORECASE
)
_TO_ANYBODY = frozenset("all ai assistant bot chatbot everyone folks friend friends sir team there".split())
_CLOSING = re.compile(
    r"^\W*(?:(?:best|kind|warm|with)\w*\b[^\n]{0,25}|regards|sincerely|yours[^\n]{0,15}|cheers|love|take care"
    r"|thank(?:s| you)\b[^\n]{0,25}),?[ \t]*\n",
    re.IGNORECASE | re.MULTILINE,
)
MOST_SIGNED = 3, 40  # lines, and characters of each


def only_states(text: str, least: int) -> bool:
    """Whether a text of at least `least` words is an article or a letter to somebody, and asks for nothing."""
    plain = text.strip().replace("’", "'")
    return len(plain.split()) >= least and not asks(plain) and (_is_letter(plain) or _is_article(plain))


def addressee(text: str) -> str | None:
    """Whom a letter greets by name."""
    found = _TO_SOMEBODY.match(text)
    return None if found is None or found[1].lower() in _TO_ANYBODY else found[1]


def signature(text: str) -> str | None:
    """The first line below a letter's closing formula."""
    for found in reversed([*_CLOSING.finditer(text)]):
        below = [line.strip(" \t.,!*_-–—[]") for line in text[found.end() :].splitlines() if line.strip()]
        if below and len(below) <= MOST_SIGNED[0] and max(map(len, below)) <= MOST_SIGNED[1]:
            return below[0] or None
    return None


def _is_letter(text: str) -> bool:
    return addressee(text) is not None and signature(text) is not None


def _is_article(text: str) -> bool:
    if _MAY_ASK.search(text) or not text.rstrip(_CLOSERS).endswith(_ENDS) or not _FINITE.search(text):
        return False
    if len({word.lower() for word in _ARTICLE_WORDS.findall(text)}) < LEAST_ARTICLE_WORDS:
        return False
    return not any(map(_may_be_order, _SENTENCE.findall(text)))


def _may_be_order(sentence: str) -> bool:
    first = _MAYBE_ORDER.match(sentence)
    if first is not None and first[1].lower() not in _NO_ORDER and not _NO_VERB.search(first[1].lower()):
        return True
    return any(found[1].lower() in VERBS for found in _LATER_ORDER.finditer(sentence))
