"""Responses that answer nothing: they hand the instruction back, go on as the user, or show the chat's scaffolding.

A copy is measured in words that stand in five words in a row of the instruction: their share of the response, and the
share of the instruction that was copied; or it is a response whose long words are nearly all the instruction's, in
whatever order, with no number of its own. A quotation is a small part of the one or the other. All of the material that
an instruction brings, and nothing else, is a copy however short. Where an instruction asks for an edit of a text, most
of it comes back, and only a response in which nothing is changed is a copy. Code is left out.

What it does not know: a copy in other words. The user's voice is known in English alone.
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
LEAST_ASKED = 8  # words, to which offers without a question are no answer
LEAST_OFFER = 4  # words: "Yes." and "Sure!" answer what asks for no more
LEAST_NEW = 0.1  # of the long words of a response, that the instruction does not have
LEAST_LONG = 10  # such words; fewer may be all that there is to say
LEAST_LABELLED = 4  # words of a copy after a label, or of what was to be picked; fewer may be what was looked for
MOSTLY = 0.95  # of a response to a request to pick or to judge: "The statement ... is false."
MOST_SAID = 0.05  # of an offer's words, beside the offer
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LABELLED = re.compile(r"[^:：\"“«]*(?:[:：]|[\"“«])[\W_]*")  # with one colon or quotation mark, and nothing after it
_SENTENCE_ENDS = frozenset(".!?。！？")
_TO_REPEAT = re.compile(r"\b(?:repeat|copy|copypaste|echo|recite|quote|transcribe|say)\b", re.IGNORECASE)
_TO_PICK = re.compile(r"\b(?:extract|find|identify|pick|choose|select|name|which|true|false)\b", re.IGNORECASE)
_TO_EDIT = re.compile(  # in any form: "edited", "a revision of"
    r"\b(?:correct|fix|proofread|edit|rewrit|rephras|paraphras|improv|format|reformat|translat|convert|chang|replac|remov"
    r"|insert|complet|continu|punctuat|capitali[sz]|highlight|classif|label|sort|arrang|reorder|shorten|simplif"
    r"|summari[sz]|polish|revis|expand|clean)\w{0,4}\b|\b(?:add|fill)(?:ed|ing|s)?\b",
    re.IGNORECASE,
)
# A text that is only spoken of, as in "Which questions could I ask?", is none that is to be written.
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
    """Rejects a record whose response, or any answer in its conversation, is no answer to what the user said before it.

    `copies_instruction`: of its words more than `copied`, and of the instruction's more than `of_instruction`, stand in
    `ngram` words in a row that both have; or the two are the same. `user_voice`: it asks for help as a user does.
    `asks_back`: it says nothing but that it will help, and asks, where the instruction had `min_asked` words or more,
    or does not even ask where it had eight; null switches that off.
    `leak`: it holds a chat template's tokens or headings, or turns of a conversation that nobody asked to be written.
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
        for asked, said in zip(texts(record, "user"), texts(record, "assistant"), strict=False):
            self._look_at(asked, said)
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """Of a response with a template's scaffolding in it, or a user's words: neither goes away."""
        for asked, said in zip(beginnings(record, "user"), beginnings(record, "assistant"), strict=False):
            if found := _is_nobodys_answer(asked, prose(whole_lines(said))):
                return found
        return None

    def _look_at(self, asked: str, said: str) -> None:
        told = prose(said)
        if found := _is_nobodys_answer(asked, told):
            raise found
        if not _TO_WRITE.search(asked):
            words = len(asked.split())
            asked_enough = self.min_asked is not None and (
                words >= self.min_asked or ("?" not in said and words >= LEAST_ASKED)
            )
            if asked_enough and not _ABOUT_ASSISTANT.search(asked) and _is_offer(said):
                raise Rejection("asks_back", " ".join(told.split())[:100])
        if not _TO_REPEAT.search(asked) and (found_share := self._copied(asked, told, told != said)):
            raise Rejection("copies_instruction", f"{found_share:.0%} of it")

    def _copied(self, asked: str, said: str, has_code: bool) -> float:
        """The share of a response that is copied, 0 where that is too little to matter."""
        theirs, mine = _words(prose(asked)), _words(said)
        labelled = _LABEL.sub("", said, count=1) if _LABEL.match(said) else ""
        edits, picks = _TO_EDIT.search(asked) is not None, _TO_PICK.search(asked) is not None
        for text, least in ((said, LEAST_LABELLED if picks else 2), (labelled, LEAST_LABELLED)):
            words = _words(text)
            if len(words) >= least and _is_material(words, asked) and not (edits and _is_edited(text, asked)):
                return 1.0
        new = 1.0 if edits or picks or has_code else _new(mine, theirs)
        if new < LEAST_NEW and 1 - _new(theirs, mine) > self.of_instruction:
            return 1 - new
        share = _shared(mine, theirs, self.ngram)
        if share <= self.copied or _shared(theirs, mine, self.ngram) <= self.of_instruction:
            return 0.0
        allowed = (edits and _is_edited(said, asked)) or (picks and share < MOSTLY)
        return 0.0 if allowed else share


def _is_nobodys_answer(asked: str, told: str) -> Rejection | None:
    """What no assistant says, in the prose of a response."""
    if found := _SCAFFOLDING.search(told):
        return Rejection("leak", found[0])
    if _TO_WRITE.search(asked):
        return None
    if len(turns := _TURNS.findall(told)) > 1:
        return Rejection("leak", f"{len(turns)} turns of a conversation")
    if found := _ASKS_FOR_HELP.search(told):
        return Rejection("user_voice", found[0])
    return None


def _is_edited(text: str, asked: str) -> bool:
    """Whether anything is changed, were it a comma, or said beside it; quotation marks and the last stop aside.

    What has both the first and the last words of a request has the request itself in it: that is no edit.
    """
    mine, theirs = _words(text), _words(asked)
    if mine[:3] == theirs[:3] and mine[-3:] == theirs[-3:]:
        return False
    told, material = (" ".join(_QUOTES.sub("", one).split()) for one in (text, asked))
    return told.rstrip(" .") not in material


def _is_offer(text: str) -> bool:
    """All of its sentences offer help or ask back, and one offers: a question alone may be what was asked for."""
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(unquoted(text)) if sentence.strip()]
    said = [sentence for sentence in sentences if not sentence.endswith("?")]
    invites = _INVITES.search(text) is not None  # who tells how he would help asks for nothing
    told = [one for one in said if ":" in one or not (EMPTY.match(one) or (invites and _SERVICE.search(one)))]
    words, beside = (sum(len(sentence.split()) for sentence in some) for some in (sentences, told))
    return bool(said) and words >= LEAST_OFFER and beside <= MOST_SAID * words


def _is_material(words: Sequence[str], text: str) -> bool:
    """Whether they are all that a request brings: the end of a text from a paragraph, a colon or a quotation mark on.

    What comes last of several lines, sentences or choices is an answer; several sentences are none.
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
    """The share of the words that stand in n words in a row that the others have too."""
    there = {tuple(others[at : at + n]) for at in range(len(others) - n + 1)}
    inside = {at + step for at in range(len(words) - n + 1) if tuple(words[at : at + n]) in there for step in range(n)}
    return len(inside) / len(words) if words else 0.0
