"""Marks before list items as models write them: `1.`, `(2)`, `Q3:`, `- `, `①`, `b)`; each has a style.

A single mark proves little: `2024. ` begins a sentence, `1-bit` a word and `a)` an aside. Lines are a list if their
marks have one style and count up, see `chain`.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# Names of a list's items, with a number ("Task 3:") or without.
_CALLED = (
    r"(?:(?:user|sample|example|new|possible)\s+)?"
    r"(?:tasks?|query|queries|questions?|instructions?|prompts?|requests?|problems?|exercises?|items?|examples?|q)"
)
_WORDS = "one two three four five six seven eight nine ten".split()
_CHINESE = "一二三四五六七八九十"
_ROMAN = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()

_EMPHASIS = r"[*_]{1,3}"
_BULLET = re.compile(r"(?:[-+*–—−]\s{1,9}|[•‣◦⁃∙●○▪▫■□►▶➤➢·※✓✔→]\s{0,4}(?=\S))(?:\[[ xX]?\]\s{1,9})?")
_OPENING = re.compile(rf"(?:#{{1,6}}\s{{1,9}})?(?:{_EMPHASIS}(?=[^\s*_]))?")
_SPACE = r"\s{0,4}"  # bounded: long white space is no mark, and slow to search
_GAP = rf"(?:{_EMPHASIS})?(?:\s{{1,9}}|$)"
_LETTER = r"(?=[*_\"'“”‘’«»`]*[^\W\d_])"

# Each pattern has the number as `n` and, if there are several, the delimiter as `by`. A style without a space after it
# is unsure, and so is a style that occurs in prose: it takes two marks in a row.
_STYLES: tuple[tuple[str, bool, re.Pattern[str]], ...] = tuple(
    (name, sure, re.compile(pattern, re.IGNORECASE))
    for name, sure, pattern in (
        ("called", True, rf"[\[(]?{_CALLED}{_SPACE}(?:number|no\.?|#|№)?{_SPACE}(?P<n>\d{{1,3}}|{'|'.join(_WORDS)})"
                         rf"{_SPACE}[\])]?{_SPACE}(?:{_EMPHASIS})?(?:[.:)：、](?!\d){_SPACE}|\s[-–—]\s{{1,9}}|$)"
                         rf"(?:{_EMPHASIS})?{_SPACE}"),
        ("word", False, rf"(?P<by>[^\W\d_]{{2,20}})\s?#?(?P<n>\d{{1,3}}){_SPACE}(?:{_EMPHASIS})?"
                        rf"[:：](?!\d)(?:{_EMPHASIS})?{_SPACE}"),
        ("plain", True, rf"(?:#|№)?(?P<n>\d{{1,3}})(?:{_EMPHASIS})?{_SPACE}\\?(?P<by>[.)\]:]|\.\)|\)\.|\.:){_GAP}"),
        ("plain", False, rf"(?P<n>\d{{1,3}})(?P<by>[.):]){_LETTER}"),
        ("plain", True, r"(?P<n>\d{1,3})\s{0,4}(?P<by>[、．。：）])(?!\d)\s{0,4}"),
        ("dash", False, r"(?P<n>\d{1,3})\s{0,4}[-–—]\s{1,9}"),
        ("dash", False, rf"(?P<n>\d{{1,3}})[-–—]{_LETTER}"),
        ("hash", False, rf"[#№]\s?(?P<n>\d{{1,3}})[.:)]?{_GAP}"),
        ("bracket", True, rf"(?P<by>[(\[（【]){_SPACE}#?(?P<n>\d{{1,3}}){_SPACE}[)\]）】][.:：]?{_GAP}{_LETTER}"),
        ("bracket", False, rf"(?P<by>[(\[（【]){_SPACE}#?(?P<n>\d{{1,3}}){_SPACE}[)\]）】][.:：]?{_LETTER}"),
        ("circled", True, r"(?P<n>[①-⑳⑴-⒛❶-❿➀-➓]|\d\ufe0f?\u20e3|🔟)[.:)、]?\s{0,4}"),
        ("chinese", False, rf"[（(]?(?P<n>[{_CHINESE}])[、.．)）：:]{_SPACE}"),
        ("letter", False, rf"(?P<by>[(\[]?)(?P<n>[A-Za-z])[.)\]]{_GAP}"),
        ("roman", False, rf"(?P<by>[(\[]?)(?P<n>[ivx]{{1,5}})[.)\]]{_GAP}"),
    )
)  # fmt: skip
_UNNUMBERED = re.compile(rf"{_CALLED}{_SPACE}(?:{_EMPHASIS})?{_SPACE}[:：](?:{_EMPHASIS})?{_SPACE}", re.IGNORECASE)

BULLET, LABEL = ("bullet", ""), ("label", "")


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark at the start of a line. `style` is equal for marks of one list; `number` is 0 if it has none.

    `rest` is the line after it; `wrapped` the heading or emphasis that opened before it and may close after the text.
    """

    line: int
    indent: int
    style: tuple[str, str]
    number: int
    sure: bool
    rest: str
    wrapped: str = ""


def marks_of(line: str, at: int = 0) -> list[Mark]:
    """All marks that the start of a line may be; the likeliest first."""
    text = re.sub(r"^\s*>\s?", "", line).expandtabs(4)
    body = text.lstrip()
    indent = len(text) - len(body)
    bullet = _BULLET.match(body)
    found = _numbered(body[bullet.end() :] if bullet else body, at, indent)
    if bullet:
        # A number behind a bullet belongs to the mark if such numbers don't occur in prose.
        found = [mark for mark in found if mark.sure]
        found.append(Mark(at, indent, BULLET, 0, True, body[bullet.end() :]))
    return found


def _numbered(body: str, at: int, indent: int) -> list[Mark]:
    opening = _OPENING.match(body)
    wrapped = opening[0] if opening else ""
    text = body[len(wrapped) :]
    found: list[Mark] = []
    for name, sure, pattern in _STYLES:
        if mark := pattern.match(text):
            style = (name, _delimiter(mark.groupdict().get("by") or ""))
            if style not in [one.style for one in found] and (number := _value(mark["n"], name)):
                found.append(Mark(at, indent, style, number, sure, text[mark.end() :], _open(wrapped, mark[0])))
    if mark := _UNNUMBERED.match(text):
        rest = text[mark.end() :]
        found.append(Mark(at, indent, LABEL, 0, bool(rest.strip("*_ ")), rest, _open(wrapped, mark[0])))
    return found


def _delimiter(by: str) -> str:
    """Full-width and doubled delimiters have the style of the plain ones."""
    return unicodedata.normalize("NFKC", by)[:1].lower() if len(by) < 3 else by.lower()


def _open(wrapped: str, mark: str) -> str:
    """The emphasis or heading that opened before or in the mark and did not close in it."""
    sign = wrapped.strip("# ") or wrapped.strip()
    return "" if sign and sign in mark else sign


def _value(number: str, style: str) -> int:
    number = number.lower()
    if style == "letter":
        return ord(number) - ord("a") + 1
    if style == "roman":
        return _ROMAN.index(number) + 1 if number in _ROMAN else 0
    if number in _WORDS:
        return _WORDS.index(number) + 1
    if number in _CHINESE:
        return _CHINESE.index(number) + 1
    digits = unicodedata.normalize("NFKC", number)
    if found := re.search(r"\d+", digits):
        return int(found[0])
    return int(unicodedata.numeric(number[0], 10))


def chain(candidates: Sequence[Mark], style: tuple[str, str]) -> list[Mark]:
    """The marks of one style that form a list: numbers count up, and none is indented more than the first.

    Empty if they are no list: unsure marks that are alone, or don't begin with the first number.
    """
    ours = [mark for mark in candidates if mark.style == style]
    chains = [_chain_from(ours[start:]) for start in range(min(len(ours), 4))]
    found = max(chains, key=len, default=[])
    # Words, letters and Roman numbers begin a list at one; digits may continue a list in the prompt.
    counted = style[0] not in ("word", "letter", "roman", "chinese") or (found and found[0].number == 1)
    return found if counted and (len(found) > 1 or any(mark.sure for mark in found)) else []


def _chain_from(marks: Sequence[Mark]) -> list[Mark]:
    first, *others = marks
    found = [first]
    for mark in others:
        last = found[-1].number
        follows = mark.number == last + 1 and mark.number > 1
        # Also accepted: 1. 1. 1., a skipped number, and a new section that begins at 1.
        near = mark.number in (1, last, last + 2, last + 3)
        if follows or (near and mark.indent <= first.indent and mark.sure):
            found.append(mark)
    return found


def without_label(text: str) -> str | None:
    """The text behind `Query: ` or `Query 2: `; None without such a label."""
    labels = [mark for mark in _numbered(text, 0, 0) if mark.style == LABEL or mark.style[0] == "called"]
    return f"{labels[0].wrapped}{labels[0].rest}" if labels and labels[0].rest else None


_BULLET_INLINE = re.compile(r"(?:(?<=[.?!。？！])\s{1,9}[-+*–—]|\s{1,9}[•‣◦⁃∙●○▪▫■□►▶➤➢·※✓✔→])\s+(?=[^\W\d_])")


def split_inline(text: str, style: tuple[str, str], number: int, until: int | None) -> list[str]:
    """Splits a line at further marks, `A? 2. B?`: of the next numbers, up to `until`, each after a sentence."""
    text = text if "\n" in text else " ".join(text.split())
    if style == BULLET and until is None:
        return _BULLET_INLINE.split(text)
    if style[0] in ("letter", "roman", "word", *BULLET, *LABEL):
        return [text]
    pieces = [text]
    while until is None or number + 1 < until:
        number += 1
        for place in re.finditer(r"(?<=[.?!。？！;；\"”'’)*])\s+(?=[^\s\w]*[\w#])|(?<=[。？！])(?=\S)", pieces[-1]):
            after = pieces[-1][place.end() :]
            if any(mark.style == style and mark.number == number and mark.rest for mark in _numbered(after, 0, 0)):
                pieces[-1:] = [pieces[-1][: place.start()], after]
                break
        else:
            break
    for index, piece in enumerate(pieces[1:], 1):
        pieces[index] = next(mark.rest for mark in _numbered(piece, 0, 0) if mark.style == style)
    return pieces
