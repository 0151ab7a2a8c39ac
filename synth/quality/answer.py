"""Rejects responses that are no answer: copies of the instruction, text in the user's voice, leaked chat scaffolding.

A copy is measured by runs of five words that response and instruction share: their share of the response, and the share
of the instruction that was copied. A response is also a copy if its long words are nearly all the instruction's, in any
order, and it has no number of its own. A quotation is a small part of either. A response that is exactly the material
given with the instruction is a copy, however short. If the instruction asks for an edit of a text, most of it comes
back, and only an unchanged text is a copy. Code is left out.

Limits: a copy in other words is not found. The user's voice is known in English only.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.refusal_phrases import EMPTY
from synth.quality.texts import beginnings, columns_of, missing, prose, texts, unquoted, whole_lines
from synth.records import Needs, Record, Rejection

LEAST_SENTENCES = 12  # words
LEAST_ASKED = 8  # words in an instruction, from which on an offer without a question is no answer
LEAST_OFFER = 4  # words: "Yes." and "Sure!" answer a short question
LEAST_NEW = 0.1  # share of a response's long words that the instruction lacks
LEAST_LONG = 10  # long words; a response with fewer may be complete
LEAST_LABELLED = 4  # words of a copy after a label, or of material to pick from; fewer may be the answer
MOSTLY = 0.95  # of a response to a request to pick or to judge: "The statement ... is false."
MOST_SAID = 0.05  # share of an offer's words beside the offer
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LABELLED = re.compile(r"[^:：\"“«]*(?:[:：]|[\"“«])[\W_]*")  # one colon or quotation mark, with nothing after it
_SENTENCE_ENDS = frozenset(".!?。！？")
_TO_REPEAT = re.compile(r"\b(?:repeat|copy|copypaste|echo|recite|quote|transcribe|say)\b", re.IGNORECASE)
_TO_PICK = re.compile(r"\b(?:extract|find|identify|pick|choose|select|name|which|true|false)\b", re.IGNORECASE)
_TO_EDIT = re.compile(  # in any form: "edited", "a revision of"
    r"\b(?:correct|fix|proofread|edit|rewrit|rephras|paraphras|improv|format|reformat|translat|convert|chang|replac|remov"
    r"|insert|complet|continu|punctuat|capitali[sz]|highlight|classif|label|sort|arrang|reorder|shorten|simplif"
    r"|summari[sz]|polish|revis|expand|clean)\w{0,4}\b|\b(?:add|fill)(?:ed|ing|s)?\b",
    re.IGNORECASE,
)
# Material that is only mentioned, as in "Which questions could I ask?", is not to be written.
_TO_WRITE = re.compile(
    r"\b(?:write|draft|compose|role|pretend|act as|play|dialogue?|rewrite|rephrase|paraphrase|translate)\b"
    r"|\b(?:creat|generat|mak|giv|suggest|provid|prepar|produc|design|develop|need|want|send|answer|repl(?:y|ie)|respond"
    r"|continu|complet|simulat|show|list|come up|think of|help me with)\w*\b[^.!?\n]{0,60}?"
    r"\b(?:e-?mail|letter|message|conversation|chat|script|transcript|interview|prompt|question|post|tweet|story|speech)s?\b",
    re.IGNORECASE,
)
_ASKS_FOR_HELP = re.compile(
    r"\b(?:can|could|would|will) (?:you|someone|anyone) (?:please )?(?:help|assist) me\b[^.!?]{0,300}\?"
    r"|\bplease help me\b"
    r"|\b(?:can|could) you (?:please )?(?:suggest|recommend|provide|give|tell|explain)(?: to)? me\b(?! more| with more"
    r"| a (?:bit|little) more| some more| your| the (?:text|details))[^.!?]{0,300}\?",
    re.IGNORECASE,
)
_VERDICTS = frozenset("yes no true false correct incorrect right wrong".split())
_ABOUT_ASSISTANT = re.compile(r"\b(?:who|what) (?:can|could|do|are) you\b|\bare you an?\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_SERVICE = re.compile(  # "As a helpful AI, I can support you in this"
    r"^.{0,80}?\b(?:i|we)(?:'(?:m|d|ll|ve)| am| can| will| would| could| have)? (?:[^.!?\s]+ ){0,6}?"
    r"(?:help|assist|support|guide|offer|provide|tailor|happy|glad|thrilled|excited|delighted|ready|here to|love to"
    r"|need to know|need (?:some|more|a (?:bit|little) more)|know (?:\w+ ){0,3}more|my best|get started)\b",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"[\"“”«»]|(?<!\w)['‘’]|['’](?!\w)")
_INVITES = re.compile(r"\?|\b(?:let me know|feel free|tell me|share)\b", re.IGNORECASE)
_LABEL = re.compile(r"[^:\n]{1,60}:\s*")
_SCAFFOLDING = re.compile(
    r"<\|[\w ]{2,30}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    r"|^#{2,3} ?(?:Instruction|Response|Input|Human|Assistant|User)s?:",
    re.MULTILINE,
)
_TURNS = re.compile(r"^(?:user|human|assistant|ai): ?\S", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Answer:
    """Rejects a record if its response, or any answer in its conversation, does not answer the user's turn before it.

    `copies_instruction`: runs of `ngram` words that both share cover more than `copied` of the response and more than
    `of_instruction` of the instruction; or the two are equal. `user_voice`: it asks for help as a user does.
    `asks_back`: it only offers help and asks a question, though the instruction had `min_asked` words or more, or only
    offers help though it had eight; null switches this off.
    `leak`: it has tokens or headings of a chat template, or turns of a conversation that was not asked for.
    Also: `no_user`, `no_assistant`.
    """

    copied: Share = 0.75
    of_instruction: Share = 0.5
    ngram: Annotated[int, Field(ge=2)] = 5
    min_asked: Annotated[int, Field(ge=1)] | None = 19

    columns: ClassVar[dict[str, str]] = {}
    is_filter: ClassVar[bool] = True
    rejections: ClassVar[tuple[str, ...]] = (
        "copies_instruction",
        "user_voice",
        "asks_back",
        "leak",
        missing("user"),
        missing("assistant"),
    )

    def needs(self) -> list[Needs]:
        return [*columns_of("user"), *columns_of("assistant")]

    def calls(self) -> list[Any]:
        return []

    def __call__(self, record: Record, llm: Any) -> Record:
        for asked, answer in zip(texts(record, "user"), texts(record, "assistant"), strict=False):
            self._check(asked, answer)
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """For a template's scaffolding or a user's phrase in a partial response: neither can go away."""
        for asked, answer in zip(beginnings(record, "user"), beginnings(record, "assistant"), strict=False):
            if found := _no_assistants_words(asked, prose(whole_lines(answer))):
                return found
        return None

    def _check(self, asked: str, answer: str) -> None:
        answer_prose = prose(answer)
        if found := _no_assistants_words(asked, answer_prose):
            raise found
        if not _TO_WRITE.search(asked):
            words = len(asked.split())
            asked_enough = self.min_asked is not None and (
                words >= self.min_asked or ("?" not in answer and words >= LEAST_ASKED)
            )
            if asked_enough and not _ABOUT_ASSISTANT.search(asked) and _is_offer(answer):
                raise Rejection("asks_back", " ".join(answer_prose.split())[:100])
        if not _TO_REPEAT.search(asked) and (found_share := self._copied(asked, answer_prose, answer_prose != answer)):
            raise Rejection("copies_instruction", f"{found_share:.0%} of it")

    def _copied(self, asked: str, answer: str, has_code: bool) -> float:
        """The share of a response that is copied; 0 if it is too short to matter."""
        theirs, mine = _words(prose(asked)), _words(answer)
        labelled = _LABEL.sub("", answer, count=1) if _LABEL.match(answer) else ""
        edits, picks = _TO_EDIT.search(asked) is not None, _TO_PICK.search(asked) is not None
        for text, least in ((answer, LEAST_LABELLED if picks else 2), (labelled, LEAST_LABELLED)):
            words = _words(text)
            if len(words) >= least and _is_material(words, asked) and not (edits and _is_edited(text, asked)):
                return 1.0
        new = 1.0 if edits or picks or has_code else _new(mine, theirs)
        if new < LEAST_NEW and 1 - _new(theirs, mine) > self.of_instruction:
            return 1 - new
        share = _shared(mine, theirs, self.ngram)
        if share <= self.copied or _shared(theirs, mine, self.ngram) <= self.of_instruction:
            return 0.0
        allowed = (edits and _is_edited(answer, asked)) or (picks and share < MOSTLY)
        return 0.0 if allowed else share


def _no_assistants_words(asked: str, answer: str) -> Rejection | None:
    """A rejection for phrases that no assistant uses, in the prose of a response."""
    if found := _SCAFFOLDING.search(answer):
        return Rejection("leak", found[0])
    if _TO_WRITE.search(asked):
        return None
    if len(turns := _TURNS.findall(answer)) > 1:
        return Rejection("leak", f"{len(turns)} turns of a conversation")
    if found := _ASKS_FOR_HELP.search(answer):
        return Rejection("user_voice", found[0])
    return None


def _is_edited(text: str, asked: str) -> bool:
    """Whether a response changes anything, even a comma, or adds something; quotation marks and the last stop aside.

    A response with both the first and the last words of the request contains the request itself: that is no edit.
    """
    mine, theirs = _words(text), _words(asked)
    if mine[:3] == theirs[:3] and mine[-3:] == theirs[-3:]:
        return False
    words, material = (" ".join(_QUOTES.sub("", one).split()) for one in (text, asked))
    return words.rstrip(" .") not in material


def _is_offer(text: str) -> bool:
    """Whether all sentences offer help or ask back, and at least one offers: a question alone may be the task."""
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(unquoted(text)) if sentence.strip()]
    statements = [sentence for sentence in sentences if not sentence.endswith("?")]
    invites = _INVITES.search(text) is not None  # an offer that explains itself asks for nothing
    others = [one for one in statements if ":" in one or not (EMPTY.match(one) or (invites and _SERVICE.search(one)))]
    words, beside = (sum(len(sentence.split()) for sentence in some) for some in (sentences, others))
    return bool(statements) and words >= LEAST_OFFER and beside <= MOST_SAID * words


def _is_material(words: Sequence[str], text: str) -> bool:
    """Whether the words are the whole material of a request: its end, from a paragraph, colon or quotation mark on.

    The last of several lines, sentences or choices is an answer; several sentences are not.
    """
    matches = list(_WORD.finditer(text))
    if [match[0].lower() for match in matches[-len(words) :]] != list(words):
        return False
    start = matches[-len(words)].start()
    above, line_break, line = text[:start].rpartition("\n")
    if _LABELLED.fullmatch(line):
        return True
    at_line = not any(map(str.isalnum, line))
    gap = line[max((at + 1 for at, sign in enumerate(line) if sign.isalnum()), default=0) :]
    if at_line or not _SENTENCE_ENDS.isdisjoint(gap):
        several = len(words) >= LEAST_SENTENCES and len(_SENTENCE.findall(text[start:].strip())) > 1
        above = above.rstrip(" \t")
        return several or (at_line and (not line_break or above.endswith(("\n", ":", "：")) or "\n" not in above))
    return False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _new(words: Sequence[str], others: Sequence[str]) -> float:
    """The share of the long words that the others do not have in any form; 1 where there are few of them, or something
    short is an answer: a number, a yes."""
    there = {word[:5] for word in others}
    if words[:1] and (
        words[0] in _VERDICTS or any(word not in others for word in words if any(map(str.isdigit, word)))
    ):
        return 1.0
    long = [word[:5] for word in words if len(word) > 3]
    return sum(word not in there for word in long) / len(long) if len(long) >= LEAST_LONG else 1.0


def _shared(words: Sequence[str], others: Sequence[str], n: int) -> float:
    """The share of words that are in a run of n words that occurs in `others` too."""
    there = {tuple(others[at : at + n]) for at in range(len(others) - n + 1)}
    inside = {at + step for at in range(len(words) - n + 1) if tuple(words[at : at + n]) in there for step in range(n)}
    return len(inside) / len(words) if words else 0.0
