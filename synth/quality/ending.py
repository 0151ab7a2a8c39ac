"""Rejects truncated texts: cut by max_tokens, left open, or ended in the middle of a sentence.

Limits: whether a text that ends well is complete is not known. Text without punctuation (verse, list items, headings,
short answers, signatures) is exempt; so are scripts without punctuation.
"""

import re
import unicodedata
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality.text_filter import TextFilter
from synth.quality.texts import MOST_WORDS_OF_A_VERSE, prose, texts
from synth.records import CUT, Record, Rejection

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)(.*)$", re.MULTILINE)
_INLINE_CODE = re.compile(r"(`+).+?\1")
_OPENERS, _CLOSERS = "([{（［｛「『【", ")]}）］｝」』】"
_FACE = re.compile(r"[:;=]-?[(\[{]")
_ITEM = re.compile(r"\s*([-*+•|>#]|\d+[.)]\s|\(?[a-z][.)]\s)")
_AWAITING = tuple(",:，：、-–—")  # no semicolon: code ends in it
# A request comes before a colon, a quotation mark or a line's end; the text to continue comes after.
_TO_GO_ON = re.compile(
    r"\b(?:continue|complete|finish|extend|go on|fill in|next|comes? after|start(?:s|ing)?|begin(?:s|ning)?)\b",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"[:?\"“'‘\n]\s*\S")
_SENTENCE_END = re.compile(r"[^\W\d_][)\"'”’]*[.!?。！？][)\"'”’]*$")
_LABEL = re.compile(r"(?:the |your )?(?:a|answer|output|response|solution|reply|result|translation|summary):", re.I)
_WITHOUT_PUNCTUATION = ("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Ending(TextFilter):
    """Rejects a record if a text in `column` is truncated.

    `cut_off`: max_tokens or a loop ended it (`finish_reason` is `length` or `repetition`; only for the response and the
    assistant's turns), and not after a complete sentence of a paragraph, where the answer reads as complete.
    `left_open`: a code fence, a `$$` or, in the last paragraph, a bracket is open. `announces`: it ends in a colon,
    comma or dash, for which Magpie's recipes reject instructions, unless it gives a beginning to continue or a label to
    answer after. `mid_sentence`: its last line has at least `min_words` words, is no list item, heading or table row,
    and ends in a letter; `punctuation` false switches this off, which suits text by users. Also: `no_COLUMN`.
    """

    punctuation: bool = True
    min_words: Annotated[int, Field(ge=1)] = 8

    reasons: ClassVar[tuple[str, ...]] = ("cut_off", "left_open", "announces", "mid_sentence")

    def __call__(self, record: Record, llm: Any) -> Record:
        found = texts(record, self.column)
        cut = self.column in ("response", "assistant") and record.get("finish_reason") in CUT
        if cut and not _ends_in_a_sentence(found[-1]):
            raise Rejection("cut_off")
        for text in found:
            self._check(text.rstrip())
        return record

    def _check(self, text: str) -> None:
        if open_fence(text):
            raise Rejection("left_open", "a code fence")
        paragraphs = re.split(r"\n\s*\n", prose(text, "\ufffc"))
        last = paragraphs[-1].rstrip()
        if last.endswith("\ufffc"):
            return  # code may end in any way
        if prose(text).count("$$") % 2:
            raise Rejection("left_open", "a formula")
        if bracket := open_bracket(last):
            raise Rejection("left_open", f"a {bracket!r} in the last paragraph")
        if last.endswith(_AWAITING) and not _is_to_be_continued(text):
            raise Rejection("announces", f"ends in {last[-1]!r}")
        line = last.splitlines()[-1]
        if not self.punctuation or _ITEM.match(line) or _is_verse(last):
            return
        if _breaks_off(line, self.min_words):
            raise Rejection("mid_sentence", f"ends in {' '.join(line.split()[-3:])!r}")


def open_fence(text: str) -> bool:
    """Whether a fenced code block is never closed (CommonMark, section 4.5)."""
    fence = ""
    for match in _FENCE.finditer(text):
        mark, rest = match.groups()
        if not fence:
            fence = mark
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
    return bool(fence)


def open_bracket(paragraph: str) -> str | None:
    """The last bracket that is never closed. A bracket of any kind closes one of any other: `[0, 1)`."""
    depth: list[str] = []
    for sign in _FACE.sub("", _INLINE_CODE.sub("", paragraph)):
        if sign in _OPENERS:
            depth.append(sign)
        elif sign in _CLOSERS and depth:  # an unmatched one is `1)` or a smiley
            depth.pop()
    return depth[-1] if depth else None


def _is_to_be_continued(text: str) -> bool:
    """Whether it ends in text to continue: "Continue the story: Once upon a time,", or "... Answer:" after a
    question."""
    if not text.endswith((":", "：")):
        request = _TO_GO_ON.search(text)
        return request is not None and _GIVEN.search(text, request.end()) is not None
    lines = text.strip().splitlines()
    return len(lines) > 1 and _LABEL.fullmatch(lines[-1].strip()) is not None


def _is_verse(paragraph: str) -> bool:
    """Several short lines, each with a capital."""
    lines = [line.strip() for line in paragraph.splitlines()]
    return len(lines) > 1 and all(line[:1].isupper() and len(line.split()) <= MOST_WORDS_OF_A_VERSE for line in lines)


def _ends_in_a_sentence(text: str) -> bool:
    """Whether it ends in a complete sentence of a paragraph; a list may have had more items to come."""
    last = re.split(r"\n\s*\n", text.rstrip())[-1]
    return _SENTENCE_END.search(last) is not None and not any(map(_ITEM.match, last.splitlines()))


def _breaks_off(line: str, min_words: int) -> bool:
    last = line[-1]
    if not last.isalpha() or unicodedata.name(last, "").startswith(_WITHOUT_PUNCTUATION):
        return False
    if len(line.split()) >= min_words:
        return True
    # In scripts without spaces, a word is about two characters.
    return ord(last) >= 0x2E80 and len(line) >= 2 * min_words
