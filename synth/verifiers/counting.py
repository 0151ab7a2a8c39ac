"""Counts in a text what constraints are about: words, sentences, list items, table rows and other marks.

Promises: the time of each function is linear in the length of the text, so that no answer blocks the event loop.
Patterns are Markdown's where Markdown has one. An empty text counts as zero of everything.
"""

import re

_SENTENCE_END = re.compile(r"[.!?。！？]+")
_BULLET = re.compile(r"^[ \t]*[-*•][ \t]+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^[ \t]*(\d{1,9})[.)][ \t]+\S", re.MULTILINE)
_PART = re.compile(r"^[^\w\n]{0,20}Part (\d{1,9})\b", re.MULTILINE)
_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.MULTILINE)
_DELIMITER_ROW = re.compile(r"[ \t]*\|[ \t:|-]+\|[ \t]*")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]+)\](?!\()")


def words(text: str) -> int:
    """The number of words, separated by white space."""
    return len(text.split())


def occurrences(text: str, word: str) -> int:
    """How often `word` occurs as a whole word, in any case."""
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


def capital_words(text: str) -> int:
    """The number of words of two or more letters that are all capitals."""
    return len([word for word in re.findall(r"[^\W\d_]{2,}", text) if word.isupper()])


def sentences(text: str) -> int:
    """The number of sentences that end with a full stop, a question mark or an exclamation mark."""
    return len([sentence for sentence in _SENTENCE_END.split(text)[:-1] if any(map(str.isalnum, sentence))])


def paragraphs(text: str) -> int:
    """The number of paragraphs, separated by blank lines."""
    return len([paragraph for paragraph in re.split(r"\n[ \t]*\n", text.strip()) if paragraph.strip()])


def bullets(text: str) -> int:
    """The number of lines that begin with a bullet."""
    return len(_BULLET.findall(text))


def list_numbers(text: str) -> list[int]:
    """The numbers of a numbered list, such as `1.` or `1)`, in their order."""
    return [int(number) for number in _NUMBERED.findall(text)]


def part_numbers(text: str) -> list[int]:
    """The numbers of the headings `Part 1`, `Part 2` and so on, in their order."""
    return [int(number) for number in _PART.findall(text)]


def table_rows(text: str) -> int:
    """The number of rows of Markdown tables, header rows included and delimiter rows excluded."""
    return len([row for row in _ROW.findall(text) if not _DELIMITER_ROW.fullmatch(row)])


def bold_phrases(text: str) -> int:
    """The number of phrases in bold that contain a letter."""
    return len([phrase for phrase in _BOLD.findall(text) if letters(phrase)])


def placeholders(text: str) -> int:
    """The number of placeholders such as `[name]` that contain a letter. Links are not counted."""
    return len([name for name in _PLACEHOLDER.findall(text) if letters(name)])


def letters(text: str) -> str:
    """The letters of a text, without anything else."""
    return "".join(filter(str.isalpha, text))


def last_line(text: str) -> str:
    """The last line that is not blank, stripped; empty if there is none."""
    return text.strip().splitlines()[-1].strip() if text.strip() else ""
