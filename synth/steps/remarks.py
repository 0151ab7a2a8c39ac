"""Removes a model's remarks about its answer: announcements before, notes and closing remarks after.

Only remarks about the answer itself count (a version, a rewritten prompt, more of these), so that an instruction with a
note of its own keeps it. English only, except for a colon at the end of a line.
"""

import re

_FLAGS = re.IGNORECASE | re.DOTALL
_AGREES = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|definitely|gladly|ok(?:ay)?|all ?right|great|got it|understood"
    r"|no problem|yes|i(?:['’]d| would) be (?:happy|glad) to(?: help)?|i can help(?: you)?(?: with that)?)"
    r"(?=\W)(?: (?:with that|here you go))?[\s,.!:;–—-]{0,9}"
)
_HERE = (
    r"(?:here(?:['’]s| is| are)|here you (?:are|go)|below (?:is|are)|this is|these are|the following (?:is|are)"
    r"|i(?:['’]ve| have)? (?:rewritten|rewrote|revised|modified|created|made|written)|as requested|let me)\b"
)
_KINDS = r"(?:prompts?|instructions?|questions?|quer(?:y|ies)|tasks?|requests?|examples?|list|items?|instances?)"
_VERSION = r"(?:versions?|rewrites?|rewording|rephrasing|revision|variations?|variant|improvement|alternative)"
_HOW = (
    r"(?:(?:new|newly|created|written|re-?written|revised|evolved|updated|modified|final|improved|enhanced|given|refined"
    r"|adjusted|expanded|extended|rephrased|reworded|harder|complex|challenging|original|complicated|detailed|concrete"
    r"|specific|deeper|more|slightly|bit|little)\s+)"
)

_LINE = re.compile(
    rf"\W{{0,9}}(?:{_AGREES})?(?:{_HERE}[^\n]*?\b(?:{_KINDS}|{_VERSION})\b[^\n]*|{_HERE}[^\n]*[:：])?\W*", _FLAGS
)
_REMARKS = 9  # at most, around one text
_MORE = r"\b(?:more|further|other|else|help|questions?|chang\w+|adjust\w*|feedback|assist\w*)\b"
_OFFER = re.compile(
    r"\W*(?:would you like (?:me to|more|another|any)\b"
    r"|do you (?:want|need) (?:me to|more|any (?:more|other|further))\b|is there any(?:thing)? (?:else|other)\b"
    r"|shall i\b|should i (?:write|add|make|give|continue)\b)",
    _FLAGS,
)
_CLOSING = re.compile(
    r"\W*(?:(?:please )?let me know (?:if|when|whether|how|should|in case|what)\b"
    rf".*(?:{_MORE}|\byou (?:need|want|like|think))|(?:please )?feel free to"
    r" (?:ask|use|modify|adapt|let|customi[sz]e|adjust|reach|change|request|expand|add|share|contact)\b"
    r"|(?:please )?do(?:n['’]t| not) hesitate\b|(?:i )?hope (?:this|these|that|it|they|you)\b"
    r".*\b(?:help|useful|enjoy|like|find|inspir|meet|what you)|happy to (?:help|provide)\b"
    rf"|if you(?:['’]d| would)? (?:need|want|like|have)\b.*{_MORE}|good luck\b[^.]{{0,20}}\W*$|enjoy\W*$"
    rf"|(?:these|the above|all (?:of )?these) (?:\w+ ){{0,2}}?(?:{_KINDS}|{_VERSION})"
    r" (?:are|is|cover|can|should|will|have|vary|range|may|provide|aim|all|help|explore|require|touch)"
    r"|that['’]s (?:all|it)\W*$|end of (?:the )?list\b)",
    _FLAGS,
)
# A note is about changes to the text, or about the text as such.
_CHANGED = (
    r"\b(?:i(?:['’]ve| have)?|we(?:['’]ve| have)?|this) (?:\w+ )?(?:added|adds|changed|changes|made|makes|kept|keeps"
    r"|rewrote|rewritten|modified|included|increased|increases|introduced|introduces|revised"
    r"|replaced|adjusted|expanded|removed)\b[^.\n]{0,80}\b(?:constraints?|requirements?|conditions?|limits?|details?|specific\w*|complex\w*|depth|prompts?"
    rf"|instructions?|questions?|reasoning|challeng\w+|wording|{_VERSION})\b"
)
_DONE = (
    rf"{_CHANGED}|\b(?:re-?written|revised|evolved|updated|modified|original) (?:\w+ )?"
    rf"(?:prompt|instruction|question|{_VERSION})\b"
)
_NOTE = re.compile(
    r"\W*(?:please )?(?:note|explanation|changes(?: made)?|reason(?:ing)?|rationale|comment)\b(?:\W|that)"
    rf"[^\n]*?(?:{_DONE})|\W*(?:note|changes made|explanation of (?:the )?changes)\W*[:：]\W*$"
    rf"|\W*(?:this|the (?:re-?written|revised|evolved|new|updated|modified)) (?:\w+ )?(?:{_VERSION}|prompt|instruction)"
    r" (?:now |also |still )?(?:adds|asks|requires|includes|introduces|encourages|challenges|specifies|keeps|makes"
    rf"|has been|is (?:more|a bit|slightly|now|harder))\b|\W*{_CHANGED}",
    _FLAGS,
)
_IN_BRACKETS = re.compile(r"\s{0,9}[(\[*_]{1,4}\s{0,9}(?:please )?note\b[^()\[\]]*[)\]]?[*_)]*\s*$", _FLAGS)


_KIND = rf"(?:prompts?|instructions?|questions?|quer(?:y|ies)|tasks?|requests?|{_VERSION}|responses?|answers?)"
_SURE = r"\W{0,9}(?:sure(?: thing)?|certainly|of course|absolutely|gladly)[!.,:]+\s*\n"
_ANNOUNCING = re.compile(
    rf"\W{{0,9}}(?:{_AGREES})?(?:{_HERE}\s+(?:\w+\s+){{0,6}}?|(?:an?|the)\s+{_HOW}+){_KIND}\b"
    rf"[^\n:：]{{0,120}}[:：][*_”]{{0,3}}(?=\s)\s*|\W{{0,9}}{_AGREES}{_HERE}[^\n:：]{{0,120}}[:：]\s*\n|{_SURE}",
    _FLAGS,
)
_LABELLED = re.compile(
    rf"[#*_\s]*(?:the )?(?:{_HOW}*{_KIND}|re-?written|rewrite|revised|evolved|new|updated|modified)(?:\s+\d)?"
    r"(?:[#*_]*\s{0,3}[:：][*_]*\s*|[#*_]+\s*\n\s*)",
    re.IGNORECASE,
)
_HEADED = re.compile(rf"\s*#{{1,6}}\s+(?:the )?{_HOW}+{_KIND}\s*\n\s*", re.IGNORECASE)


def is_announcement(line: str) -> bool:
    """Whether a line only announces what follows: "Sure! Here are two tasks:"."""
    return re.search(r"\w", line) is not None and _LINE.fullmatch(line.strip()) is not None


def is_closing(paragraph: str) -> bool:
    """Whether a paragraph offers more, hopes to have helped, or sums up the text before it."""
    text = paragraph.strip()
    pattern = _OFFER if text.endswith(("?", "？")) else _CLOSING
    return pattern.match(text) is not None


def without_remarks(text: str, before: str = "") -> str:
    """A rewritten text without text that announces, labels, wraps or explains it.

    Text that was there `before` the rewriting is kept. If there are only remarks, the text is returned unchanged.
    """
    kept = text.strip()
    for _ in range(_REMARKS):
        inner = _without_head(_without_notes(kept), before)
        inner = _unwrapped(re.sub(r"^(?:[-*_]{3,}\s*\n)|\n\s{0,9}[-*_]{3,}$", "", inner).strip(), before)
        if inner == kept or not re.search(r"\w", inner):
            return kept
        kept = inner
    return kept


def _without_head(text: str, before: str) -> str:
    for pattern in (_ANNOUNCING, _LABELLED, _HEADED):
        found = pattern.match(text)
        if found and text[found.end() :].strip() and not before.lower().startswith(found[0].strip().lower()[:20]):
            return text[found.end() :].strip()
    return text


def _without_notes(text: str) -> str:
    inline = _IN_BRACKETS.search(text)
    if inline and inline.start() and re.search(_DONE, inline[0], _FLAGS):
        return text[: inline.start()].rstrip()
    paragraphs = re.split(r"\n\s*\n", text)
    for at in range(len(paragraphs) - 1, max(len(paragraphs) - 4, 0), -1):
        if _is_note(paragraphs[at]) or (at == len(paragraphs) - 1 and is_closing(paragraphs[at])):
            return "\n\n".join(paragraphs[:at]).rstrip()
    head, _, last = text.rpartition("\n")
    return head.rstrip() if head.strip() and (_is_note(last) or is_closing(last)) else text


def _is_note(paragraph: str) -> bool:
    return not paragraph.rstrip().endswith("?") and _NOTE.match(paragraph) is not None


def _unwrapped(text: str, before: str) -> str:
    """Without quotation marks, bold type, or a fence around the whole text."""
    if before.strip()[:1] == text[:1]:
        return text
    for opening, closing in (('"', '"'), ("“", "”"), ("«", "»"), ("'", "'"), ("**", "**"), ("```\n", "\n```")):
        inner = text[len(opening) : -len(closing)]
        whole = len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing)
        if whole and not re.search(rf"{re.escape(opening)}|{re.escape(closing)}", inner):
            return inner.strip()
    return text
