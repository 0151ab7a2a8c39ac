"""Rejects responses that are no answer: copies of the instruction, text in the user's voice, leaked chat scaffolding.

A copy is measured by runs of five words that response and instruction share: their share of the response, and the share
of the instruction that was copied. A response is also a copy if its long words are nearly all the instruction's, in any
order, and it has no number of its own. A quotation is a small part of either. A response that is exactly the material
given with the instruction is a copy, however short. If the instruction asks for an edit of a text, most of it comes
back, and only an unchanged text is a copy. Code is left out.

Limits: a copy in other words is not found. The user's voice (synth/quality/users_voice.py) and offers of help
(synth/quality/offer.py) are known in English only.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.engines import Share
from synth.quality.asking import TO_EDIT, TO_WRITE
from synth.quality.offer import asks_back
from synth.quality.texts import SENTENCE, beginnings, columns_of, missing, prose, texts, whole_lines
from synth.quality.users_voice import ASKS_FOR_HELP, as_the_user
from synth.records import Needs, Record, Rejection

LEAST_SENTENCES = 12  # words
LEAST_NEW = 0.1  # share of a response's long words that the instruction lacks
LEAST_LONG = 10  # long words; a response with fewer may be complete
LEAST_LABELLED = 4  # words of a copy after a label, or of material to pick from; fewer may be the answer
MOSTLY = 0.95  # of a response to a request to pick or to judge: "The statement ... is false."
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LABELLED = re.compile(r"[^:：\"“«]*(?:[:：]|[\"“«])[\W_]*")  # one colon or quotation mark, with nothing after it
_SENTENCE_ENDS = frozenset(".!?。！？")
_TO_REPEAT = re.compile(r"\b(?:repeat|copy|copypaste|echo|recite|quote|transcribe|say)\b", re.IGNORECASE)
_TO_PICK = re.compile(r"\b(?:extract|find|identify|pick|choose|select|name|which|true|false)\b", re.IGNORECASE)
_VERDICTS = frozenset("yes no true false correct incorrect right wrong".split())
_QUOTES = re.compile(r"[\"“”«»]|(?<!\w)['‘’]|['’](?!\w)")
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
    `of_instruction` of the instruction; or the two are equal. `user_voice`: it asks for help as a user does, or bears
    the user's name, or signs with the name that it greets. `asks_back`: it only offers help and asks a question, though
    the instruction had `min_asked` words or more, or has none of its long words; or only offers help though it had
    eight, or as an assistant; null switches this off.
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
        if self.min_asked is not None and asks_back(asked, answer, self.min_asked):
            raise Rejection("asks_back", " ".join(answer_prose.split())[:100])
        if name := as_the_user(asked, answer_prose):
            raise Rejection("user_voice", name)
        if not _TO_REPEAT.search(asked) and (found_share := self._copied(asked, answer_prose, answer_prose != answer)):
            raise Rejection("copies_instruction", f"{found_share:.0%} of it")

    def _copied(self, asked: str, answer: str, has_code: bool) -> float:
        """The share of a response that is copied; 0 if it is too short to matter."""
        theirs, mine = _words(prose(asked)), _words(answer)
        labelled = _LABEL.sub("", answer, count=1) if _LABEL.match(answer) else ""
        edits, picks = TO_EDIT.search(asked) is not None, _TO_PICK.search(asked) is not None
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
    if TO_WRITE.search(asked):
        return None
    if len(turns := _TURNS.findall(answer)) > 1:
        return Rejection("leak", f"{len(turns)} turns of a conversation")
    if found := ASKS_FOR_HELP.search(answer):
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
        several = len(words) >= LEAST_SENTENCES and len(SENTENCE.findall(text[start:].strip())) > 1
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
