r"""Extracts the final answer of a worked solution, and normalizes it so that most equal answers are equal strings.

It is the last `\boxed{…}`, else the text after the last `####` (as in GSM8K) or "the answer is", else the last formula
or number of the last line, unless that line ends in a question, as in `0 + 8 = ?`. Otherwise there is no final answer,
nor in a last box that is empty or not closed.
"""

import re

MOST_CHARACTERS = 1000  # a longer text is no answer

_BOXED = re.compile(r"\\(?:boxed|fbox)\s*(?={)")
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_SAID = re.compile(
    r"\b(?:(?:final|correct)\s+(?:answer|result)|answer|solution)\**\s*(?:\b(?:is|are)\b|[:=])(?:\s+given\s+by)?"
    r"[\s:*]*(\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_NUMBER = re.compile(r"[-−+]?[$€£]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?\s*%?|[-−+]?\.\d+")
_SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z\"“(]|\s*$)")
_ASKS = re.compile(r"[=?]\W*$")
_WRAPS = [("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"')]
_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"\\[,;:! ]|~|\\q?quad\b|\\displaystyle\b|\\left\b|\\right\b")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:(?:,|\{,\})\d{3})+(?![\d,])")
_UNIT = re.compile(  # words after a number, and "per", "^2"; not mathematical terms
    r"(?<=[\d})%])\s*(?!(?:or|and|pi|mod|choose|to|in|x|y|z)\b)[A-Za-zµ°]{2,}\.?(?:[\s/]+[A-Za-z]{1,}\.?){0,3}"
    r"(?:\s*\^\s*\{?\d\}?|[²³])?\s*$"
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\\circ\}?|°)\s*$")


def final_answer(text: str) -> str | None:
    """As written, without its markup."""
    if (boxed := _boxed(text)) is not None:
        return _unwrapped(boxed)
    for pattern in (_HASHES, _SAID):
        if found := pattern.findall(text):
            rest = found[-1].strip()
            rest = rest[: 2 * MOST_CHARACTERS]
            formula = _FORMULA.match(rest)
            answer = _unwrapped(formula[0] if formula else _SENTENCE_END.split(rest, maxsplit=1)[0])
            if answer:
                return answer
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1][-2 * MOST_CHARACTERS :] if lines else ""
    if _ASKS.search(last):
        return None
    formulas = [match[0] for match in _FORMULA.finditer(last)] or [match[0] for match in _NUMBER.finditer(last)]
    return _unwrapped(formulas[-1]) if formulas else None


def _boxed(text: str) -> str | None:
    """The content of the last box; empty if it is not closed, None if there is no box."""
    matches = list(_BOXED.finditer(text))
    if not matches:
        return None
    start, depth = matches[-1].end(), 0
    for at in range(start, min(len(text), start + 2 * MOST_CHARACTERS)):
        depth += {"{": 1, "}": -1}.get(text[at], 0) if text[at - 1] != "\\" else 0
        if depth == 0:
            return text[start + 1 : at]
    return ""


def _unwrapped(text: str) -> str | None:
    text = text.strip()
    while True:
        before = text
        for start, end in _WRAPS:
            if text.startswith(start) and text.endswith(end) and len(text) > len(start) + len(end):
                text = text[len(start) : -len(end)].strip()
        text = text.rstrip(".,;:").strip() if not text.endswith(("\\,", "\\;", "\\:")) else text[:-2].strip()
        if text.endswith("**") and "**" not in text[:-2]:
            text = text[:-2].strip()
        if text == before:
            return text or None


def normal_form(answer: str) -> str:
    r"""Without units, currency symbols, thousands separators, `\text` and spaces; `\dfrac` as `\frac`. For votes."""
    text = plain(answer)
    text = re.sub(r"^[A-Za-z]\s*=\s*(?=[^=]+$)", "", text)
    text = re.sub(r"\s+", "", text)
    text = re.sub(r"^(-?\d+)\.0+$", r"\1", text)
    return text if re.search(r"\\|[=^_(\[{]", text) else text.casefold()


def plain(answer: str) -> str:
    """The formula only: without units, spacing and currency symbols."""
    text = answer.replace("−", "-").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = text.replace("\\%", "%").replace("\\$", "").replace("$", "").replace("€", "").replace("£", "")
    text = _SPACES.sub(" ", text)
    text = _TEXT.sub(r" \1", text).strip()
    text = _THOUSANDS.sub(lambda match: re.sub(r"[{},]", "", match[0]), text)
    text = re.sub(r"(?<=\d) (?=\d{3}\b)", "", text)
    text = _DEGREES.sub("", _UNIT.sub("", text))
    return " ".join(text.split()).rstrip(".")
