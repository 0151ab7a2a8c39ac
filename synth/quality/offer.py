"""Detects an answer that only offers help or asks back, where there was something to answer.

All of its sentences must be offers, apologies, what the assistant is, or questions back; nearly nothing may be said
beside them, a little more beside many offers. Whether there was something to answer is a matter of what was asked: many
words, or few of which the answer has none. Where a message, a conversation or a role was asked for, an offer may be the
answer.

Limits: English only.
"""

import re

from synth.quality.asking import TO_SPEAK
from synth.quality.refusal_phrases import EMPTY
from synth.quality.texts import SENTENCE, prose, unquoted

LEAST_ASKED = 8  # words in an instruction, from which on an offer without a question is no answer
LEAST_SPECIFIC = 3  # long words of an instruction that no offer of help has to guess
LEAST_OFFER = 4  # words: "Yes." and "Sure!" answer a short question
MOST_SAID = 0.05  # share of an offer's words beside the offer
MANY_OFFERS = 4  # from here on more may be said beside them, if there is no list, and less need be asked
MOST_SAID_BESIDE_MANY = 0.2
_ABOUT_ASSISTANT = re.compile(
    r"\b(?:who|what) (?:can|could|do|are) you\b(?! (?:think|say|suggest|recommend|advise|mean))|\bare you an?\b",
    re.IGNORECASE,
)
# What a request for help has that says nothing of the help.
_UNSPECIFIC = frozenset(
    "about advice assist assistance could from have hello help like need please question questions some something "
    "thank thanks that this want what with would your".split()
)
_AS_ASSISTANT = re.compile(r"\bas an? (?:\w+ ){0,4}?(?:ai|assistant|chatbot|bot|language model)\b", re.IGNORECASE)
_GREETS = re.compile(r"(?:hello|hi|hey|good \w+|greetings)\b[^.!?\n]*[.!]*", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_SERVICE = re.compile(  # "As a helpful AI, I can support you in this"
    r"^.{0,80}?\b(?:i|we)(?:'(?:m|d|ll|ve)| am| can| will| would| could| have)? (?:[^.!?\s]+ ){0,6}?"
    r"(?:help|assist|support|guide|offer|provide|tailor|happy|glad|thrilled|excited|delighted|ready|here to|love to"
    r"|need to know|need (?:some|more|a (?:bit|little) more)|know (?:\w+ ){0,3}more|my best|get started)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s", re.MULTILINE)
_INVITES = re.compile(r"\?|\b(?:let me know|feel free|tell me|share)\b", re.IGNORECASE)


def asks_back(asked: str, answer: str, min_asked: int) -> bool:
    """Whether an answer only offers help, though `asked` has `min_asked` words, or fewer of which the answer has none.

    From eight words on an offer without a question is none either, nor are four offers; and an offer as an assistant
    never is.
    """
    if TO_SPEAK.search(asked) or _ABOUT_ASSISTANT.search(asked):
        return False
    offers, words = _offers(answer), len(asked.split())
    return offers > 0 and (
        words >= min_asked
        or (words >= LEAST_ASKED and ("?" not in answer or offers >= MANY_OFFERS))
        or ("?" not in answer and _AS_ASSISTANT.search(answer) is not None)
        or _is_beside(prose(answer), asked)
    )


def _offers(text: str) -> int:
    """The number of sentences that offer help, 0 unless nearly all others ask: a question alone may be the task."""
    sentences = [found.strip() for found in SENTENCE.findall(unquoted(text)) if any(map(str.isalpha, found))]
    statements = [sentence for sentence in sentences if not sentence.endswith("?")]
    invites = _INVITES.search(text) is not None  # an offer that explains itself asks for nothing
    others = [
        statement
        for statement in statements
        if ":" in statement or not (EMPTY.match(statement) or (invites and _SERVICE.search(statement)))
    ]
    words, beside = (sum(len(sentence.split()) for sentence in some) for some in (sentences, others))
    offers = len(statements) - len(others)
    many = offers >= MANY_OFFERS and not _ITEM.search(text)
    most = MOST_SAID_BESIDE_MANY if many else MOST_SAID
    return offers if words >= LEAST_OFFER and beside <= most * words else 0


def _is_beside(answer: str, asked: str) -> bool:
    """Whether an answer has nothing of what was asked for, though that was said in several words."""
    if _GREETS.fullmatch(asked.strip()):
        return False
    specific = {word[:5] for word in _words(asked) if len(word) > 3 and word not in _UNSPECIFIC}
    return len(specific) >= LEAST_SPECIFIC and specific.isdisjoint(word[:5] for word in _words(answer))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
