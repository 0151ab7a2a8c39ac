"""Parses the items of a list that a model wrote: JSON, marked lines (synth/steps/marks.py), titles with texts, or
lines.

Promises: no text raises an exception; an item's text is unchanged, with the line breaks of code; what surrounds the
list (an announcement, a fence, a closing remark) is no item; of a truncated list the last, incomplete item is dropped.
"""

import re
from collections.abc import Sequence

from synth.steps.json_answer import json_texts
from synth.steps.marks import BULLET, LABEL, Mark, chain, marks_of, split_inline, without_label
from synth.steps.remarks import is_announcement, is_closing

_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([\w+-]*)\s*$")
_PLAIN_FENCES = ("", "text", "txt", "plaintext", "plain", "markdown", "md", "json", "list")
_RULE = re.compile(r"\s*([-*_=])(?:\s*\1){2,}\s*$")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+\S")
_BOLD_LINE = re.compile(r"\s*(\*\*|__)(?=\S)(?P<title>(?:(?!\1).)+)\1[:：.]?\s*$")
_BOLD_TITLE = re.compile(r"(\*\*|__)(?=\S)(?P<title>(?:(?!\1).){1,60}?)\1\s*(?P<by>[:：]|[-–—](?=\s))?\s*(?=\S)")
_BRACKETS = re.compile(r"[\s\[\]{}(),]*")
_TAG = re.compile(r"</?(?:[ou]l|(?:queries|tasks|questions|instructions|items|list))>", re.IGNORECASE)
_TAGGED = re.compile(r"^<(li|query|task|question|instruction|item)>(.*)</\1>$", re.IGNORECASE)
_QUOTES = {'"': '"', "“": "”", "«": "»", "'": "'", "`": "`", "„": "“", "‘": "’", "「": "」", "『": "』"}
_TITLE_WORDS = 8


def items(text: str, cut: bool = False) -> list[str]:
    """The items without their marks; the text before the first mark is a preamble. `cut` drops the last item."""
    found = json_texts(text)  # of truncated JSON, the complete ones
    if not found:
        found = _written(text.splitlines())
        if cut:
            del found[-1:]
    return [item for item in map(bare, found) if item]


def _written(lines: Sequence[str]) -> list[str]:
    fenced = _fenced(lines)
    marked = _marked(lines, fenced)
    if marked:
        return marked
    if inside := _inside(lines, fenced):
        return _written(inside)
    return _titled(lines) or _plain(lines)


def _fenced(lines: Sequence[str]) -> list[bool]:
    """Which lines are in a fence, or are one."""
    found: list[bool] = []
    fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        if fence and mark and mark[1].startswith(fence) and not mark[2]:
            found.append(True)
            fence = ""
            continue
        if not fence and mark:
            fence = mark[1]
        found.append(bool(fence))
    return found


def _inside(lines: Sequence[str], fenced: Sequence[bool]) -> list[str]:
    """The content of a fence around the whole list."""
    opening = next((at for at, line in enumerate(lines) if fenced[at] and _FENCE.match(line)), None)
    if opening is None or (_FENCE.match(lines[opening]) or [""] * 3)[2].lower() not in _PLAIN_FENCES:
        return []
    ends = (at for at in range(opening + 1, len(lines)) if not fenced[at] or _FENCE.match(lines[at]))
    return list(lines[opening + 1 : next(ends, len(lines))])


def _marked(lines: Sequence[str], fenced: Sequence[bool]) -> list[str]:
    """Items by their marks; empty if there is no list."""
    marks = _choose([mark for at, line in enumerate(lines) if not fenced[at] for mark in marks_of(line, at)])
    if not marks:
        return _of_one_line(lines, fenced)
    if len(marks) == 1 and marks[0].style == LABEL:
        return _written([marks[0].rest, *lines[marks[0].line + 1 :]])
    ends = [*(mark.line for mark in marks[1:]), len(lines)]
    blocks = [_Block(mark, lines[mark.line + 1 : end]) for mark, end in zip(marks, ends, strict=True)]
    blocks[-1].end(others=blocks[:-1])
    texts = [block.text() for block in blocks]
    found: list[str] = []
    ones = _numbers_left_out(marks)
    for text, mark, until in zip(texts, marks, ones, strict=True):
        found += split_inline(text, mark.style, mark.number, until) if until != mark.number + 1 else [text]
    unlabelled = [without_label(text) for text in found]
    return _without_titles([text for text in unlabelled if text] if all(unlabelled) else found)


def _numbers_left_out(marks: Sequence[Mark]) -> list[int | None]:
    """For each mark the number of the next one: missing numbers are within its line. None for the last."""
    following = [mark.number for mark in marks[1:]]
    gaps = any(after > mark.number + 1 for mark, after in zip(marks, following, strict=False))
    last = None if gaps or len(marks) == 1 else marks[-1].number + 1
    return [*following, last]


def _choose(candidates: list[Mark]) -> list[Mark]:
    """The marks that form the list: of the least indented ones, the first list; of lists that begin together, the
    longest."""
    styles = dict.fromkeys(mark.style for mark in candidates)
    chains = [found for style in styles if (found := chain(candidates, style))]
    if not chains:
        return []
    least = min(found[0].indent for found in chains)
    outer = [found for found in chains if found[0].indent <= least + 1]
    return min(outer, key=lambda found: (found[0].line, -len(found), found[0].style in (BULLET, LABEL)))


def _of_one_line(lines: Sequence[str], fenced: Sequence[bool]) -> list[str]:
    """`Here are two: 1. A? 2. B?`"""
    whole = " ".join(line.strip() for line, inside in zip(lines, fenced, strict=True) if not inside)
    for place in re.finditer(r"[:：]\s+(?=\S)", whole[:500]):
        for mark in marks_of(whole[place.end() :]):
            if mark.number == 1 and len(pieces := split_inline(mark.rest, mark.style, 1, None)) > 1:
                return pieces
    return []


class _Block:
    """An item's lines: the text after its mark, and the lines up to the next mark."""

    def __init__(self, mark: Mark, lines: Sequence[str]):
        self.mark, self.head = mark, mark.rest.strip()
        self.titled = False
        self.lines = list(lines)
        if mark.wrapped and not mark.wrapped.startswith("#") and self.head.rstrip(":：.").endswith(mark.wrapped):
            self.head = self.head.rstrip(":：.").removesuffix(mark.wrapped)
            self.titled = True
        elif mark.wrapped.startswith("#") or _BOLD_LINE.match(self.head):
            self.titled = True
        self._end_at_section()

    def _end_at_section(self) -> None:
        """End at a heading, rule or bold line after an empty line, unless it is the item's title."""
        fenced = _fenced(self.lines)
        begun = bool(self.head) and not self.titled
        for at, line in enumerate(self.lines):
            new = at == 0 or not self.lines[at - 1].strip()
            if not fenced[at] and (_RULE.match(line) or (new and begun and _begins_section(line))):
                rest = [line for line in self.lines[at + 1 :] if line.strip()]
                if _RULE.match(line) and rest and begun and not is_closing(rest[0]) and not _begins_section(rest[0]):
                    self.lines[at] = ""
                    continue
                del self.lines[at:]
                return
            begun = begun or bool(line.strip())

    def end(self, others: Sequence["_Block"]) -> None:
        """Remove text that follows the end of the last item."""
        paragraphs = self._paragraphs()
        while paragraphs:
            start, text, apart = paragraphs.pop()
            first = not self.head and not paragraphs
            if first or (not is_closing(text) and not (apart and self._is_over(text, others, bool(paragraphs)))):
                return
            del self.lines[start:]
        if self.titled:
            return

    def _is_over(self, text: str, others: Sequence["_Block"], more: bool) -> bool:
        """Whether a paragraph after an empty line is not part of the item: no other item has one like it."""
        indented = text[:1].isspace() or self.mark.indent > len(text) - len(text.lstrip())
        waits = self.titled or not self.head or (not more and self.head.endswith((":", "：")))
        has_code = any(_FENCE.match(line) for line in text.splitlines())
        return bool(others) and not indented and not waits and not has_code and not any(map(_has_paragraphs, others))

    def _paragraphs(self) -> list[tuple[int, str, bool]]:
        """Start, text, and whether an empty line is before it; a single last line may be a paragraph of its own."""
        found: list[tuple[int, str, bool]] = []
        fenced = _fenced(self.lines)
        for at, line in enumerate(self.lines):
            apart = at > 0 and not self.lines[at - 1].strip()
            if not line.strip():
                continue
            if not found or (apart and not fenced[at]) or (is_closing(line) and not fenced[at]):
                found.append((at, line, apart))
            else:
                start, text, was = found[-1]
                found[-1] = (start, f"{text}\n{line}", was)
        return found

    def text(self) -> str:
        """The item: wrapped lines joined, code unchanged. A title alone on the mark's line is removed."""
        body = _joined(self.lines)
        if self.titled and body and len(self.head.split()) <= _TITLE_WORDS:
            bullets = [mark for line in self.lines for mark in marks_of(line) if mark.style == BULLET]
            return bullets[0].rest if len(bullets) == 1 and body.endswith(bullets[0].rest.strip()) else body
        between = "\n" if body.startswith(("```", "~~~")) else " "
        return f"{self.head}{between}{body}".strip() if body else self.head


def _has_paragraphs(block: _Block) -> bool:
    return any(apart for _, _, apart in block._paragraphs())


def _begins_section(line: str) -> bool:
    return _HEADING.match(line) is not None or _BOLD_LINE.match(line) is not None


def _joined(lines: Sequence[str]) -> str:
    """Joins lines of prose; lines of code stay separate."""
    text = ""
    for line, inside in zip(lines, _fenced(lines), strict=True):
        if inside:
            text = f"{text.rstrip(' ')}\n{line.rstrip()}" if text else line.strip()
        elif line.strip():
            at_fence = text.rpartition("\n")[2].strip().startswith(("```", "~~~"))
            text = f"{text}\n{line.strip()}" if at_fence else f"{text} {line.strip()}".strip()
    return text


def _titled(lines: Sequence[str]) -> list[str]:
    """Texts under bold lines or headings, if each of these has one."""
    titles = [at for at, line in enumerate(lines) if _begins_section(line)]
    if titles and not "".join(lines[titles[0] + 1 : [*titles, len(lines)][1]]).strip():
        del titles[0]  # the title of the whole list
    bodies = [list(lines[at + 1 : end]) for at, end in zip(titles, [*titles[1:], len(lines)], strict=False)]
    if len(bodies) < 2 or not all("".join(body).strip() for body in bodies):
        return []
    last = _Block(Mark(0, 0, BULLET, 0, True, ""), bodies[-1])
    last.end([])
    return [_joined(body) for body in [*bodies[:-1], last.lines]]


def _plain(lines: Sequence[str]) -> list[str]:
    """One item per line, without the text around them."""
    found = [line.strip() for line in lines if not _BRACKETS.fullmatch(line) and not _RULE.match(line)]
    found = [_TAGGED.sub(r"\2", line) for line in found if not _FENCE.match(line) and not _TAG.fullmatch(line)]
    if len(found) > 1 and (found[0].endswith((":", "：")) or is_announcement(found[0]) or _HEADING.match(found[0])):
        del found[0]
    while len(found) > 1 and is_closing(found[-1]):
        del found[-1]
    return _without_titles(found) if len(found) > 1 else found


def _without_titles(found: list[str]) -> list[str]:
    """`**Poem**: Write a poem` is a title and its item; with a dash, only if all items have this form."""
    heads = [_BOLD_TITLE.match(item) for item in found]
    titled = [
        head is not None
        and len(head["title"].split()) <= _TITLE_WORDS
        and bool(head["by"] or head["title"][-1] in ":：")
        for head in heads
    ]
    colons = [head is not None and (head["by"] in (":", "：") or head["title"][-1] in ":：") for head in heads]
    every = all(titled)
    return [
        item[head.end() :] if head and is_titled and (colon or every) else item
        for item, head, is_titled, colon in zip(found, heads, titled, colons, strict=True)
    ]


def bare(text: str) -> str:
    """Without spaces, bold type, quotation marks, or a comma between quoted items."""
    text = text.strip() if "\n" in text else " ".join(text.split())
    for _ in range(3):
        before = text
        for sign in ("***", "**", "__", "*", "_"):
            inner = text[len(sign) : -len(sign)]
            if len(text) > 2 * len(sign) and text.startswith(sign) and text.endswith(sign) and sign[0] not in inner:
                text = inner.strip()
        quoted = text[:-1] if text.endswith((",", ";")) else text
        if len(quoted) > 1 and _QUOTES.get(quoted[0]) == quoted[-1] and not {quoted[0], quoted[-1]} & set(quoted[1:-1]):
            text = quoted[1:-1].strip()
        if text == before:
            break
    return text
