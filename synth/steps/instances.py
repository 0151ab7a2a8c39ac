"""Parses inputs and outputs that a model wrote under labels: `Input:` and `Output:`, or `Class label:`.

Labels may be in bold, headings, list items or JSON keys. Promises: no text raises an exception; no label is left in an
input or output; of a truncated answer the last, incomplete instance is dropped.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synth.steps.json_answer import json_values
from synth.steps.remarks import is_announcement, is_closing

Kind = Literal["input", "output", "example"]

_NOTHING = re.compile(
    r"\W*(?:none|n/?a|null|no ?input|nothing|empty|no input (?:is )?(?:needed|required|necessary|given)"
    r"|none (?:needed|required)|not (?:applicable|needed|required))?\W*",
    re.IGNORECASE,
)
_EMPHASIS = r"[*_]{1,3}"
_BEFORE = (
    r"^[ \t>]*(?P<mark>(?:[-+*•][ \t]{1,9})?(?:[(\[]?\d{1,3}[.):\]]+[ \t]{0,9})?(?:\#{1,6}[ \t]{0,9})?)"
    rf"(?P<open>{_EMPHASIS})?[\[<]?(?:(?:example|instance)[ \t]{{0,9}}\#?\d{{1,3}}[ \t]{{0,9}}[-–—:.,]?[ \t]{{0,9}})?"
    r"(?:(?:sample|example|expected|correct|right|possible|desired|given|the|your|final|model)[ \t]{1,9})*"
)
_BEHIND = (
    rf"[ \t]{{0,9}}\#?(?P<number>\d{{1,3}})?[ \t]{{0,9}}(?:\([^)\n]{{1,30}}\))?[\]>]?"
    rf"(?P<close>{_EMPHASIS})?[ \t]{{0,9}}(?:(?P<colon>[:：])(?P<closed>{_EMPHASIS})?|$)[ \t]{{0,9}}"
)
_NAMES: tuple[tuple[Kind, str], ...] = (("input", r"inputs?"), ("output", r"(?:outputs?|class[ \t]{0,9}labels?)"))
_OTHER_NAMES: tuple[tuple[Kind, str], ...] = (("output", r"(?:answer|response|result|label|class|category)"),)
_RULE = r"^[ \t]*(?:-{3,}|\*{3,}|_{3,}|={3,})[ \t]*$"
_EXAMPLE = re.compile(
    rf"^[ \t>]*(?:[-+*•][ \t]{{1,9}})?(?:\d{{1,3}}[.)][ \t]{{0,9}})?(?:\#{{1,6}}[ \t]{{0,9}})?(?:{_EMPHASIS})?"
    r"(?:example|instance|class|case)[ \t]{0,9}\#?(?P<number>\d{1,3}|one|two|three|four|five)?[ \t]{0,9}"
    rf"(?:{_EMPHASIS})?[.:：]?(?:{_EMPHASIS})?[ \t]{{0,9}}$|^[ \t]*[(\[]?\d{{1,3}}[.):\]]+[ \t]*$|{_RULE}",
    re.IGNORECASE | re.MULTILINE,
)
_ANNOUNCED = re.compile(
    rf"\s*(?P<announcement>[^\n]{{1,120}}?[:：!.])[ \t]{{1,9}}(?=(?:{_EMPHASIS})?(?:expected )?"
    rf"(?:inputs?|outputs?|class[ \t]labels?)[ \t]?\d{{0,3}}(?:{_EMPHASIS})?[:：])",
    re.IGNORECASE,
)
_FENCE_LINE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*[\w+-]*[ \t]*")
_FENCED = re.compile(r"(`{3,}|~{3,})[ \t]*(?:text|txt|plaintext|markdown|md)?[ \t]*\n(.*?)\n?[ \t]*\1", re.DOTALL)


@dataclass(frozen=True)
class Instance:
    """An input, empty if the task needs none, and its output. `unfit` is the reason why it is left out."""

    input: str
    output: str
    unfit: str | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    kind: Kind
    number: int | None
    text: str


def output_first(text: str, cut: bool = False) -> list[Instance]:
    """Instances of a classification task: each a class label, then an input with that label."""
    return _instances(text, cut, label_first=True)


def input_first(text: str, cut: bool = False) -> list[Instance]:
    """Instances of any other task: each an input, then its output. The input may be missing or be named (none)."""
    return _instances(text, cut, label_first=False)


def _instances(text: str, cut: bool, *, label_first: bool) -> list[Instance]:
    text = _on_lines_of_their_own(text.replace("\r\n", "\n"))
    if found := [one for value in json_values(text) for one in _of_json(value)]:
        return found
    head, fields = _fields(text, "input" if label_first else "output")
    kinds = [field.kind for field in fields if field.kind != "example"]
    if "output" not in kinds:
        return []
    # Whatever the prompt asked for, the first label decides which of a pair comes first.
    label_first = kinds[0] == "output" and (label_first or (kinds[-1] == "input" and not head))
    found = [
        pair
        for group in _groups(fields)
        for pair in (_numbered(group) or (_labels_first(group) if label_first else _inputs_first(group)))
    ]
    if head and kinds[0] == "output" and found and not label_first:
        found[0] = Instance(_input(head), found[0].output)
    return found[:-1] if cut else found


def _on_lines_of_their_own(text: str) -> str:
    """`Here is an example: Input: a`: the first label moved to a line of its own."""
    found = _ANNOUNCED.match(text)
    if found and is_announcement(found["announcement"]):
        return f"{found['announcement']}\n{text[found.end() :]}"
    return text


def _fields(text: str, wanted: Kind) -> tuple[str, list[_Field]]:
    """The text before the first label, and the text behind each. Without `wanted`, labels within lines count too."""
    labels = _labels(text, _NAMES)
    if not any(kind == "output" for kind, _, _, _ in labels):
        labels += _labels(text, _OTHER_NAMES)
    if labels and not any(kind == wanted for kind, _, _, _ in labels):
        labels += _inside_lines(text, wanted)
    labels += [
        ("example", separator.start(), separator.end(), None)
        for separator in _separators(text, {label[1] for label in labels})
    ]
    labels.sort(key=lambda label: label[1])
    fields: list[_Field] = []
    for at, (kind, _, end, mark) in enumerate(labels):
        last = at + 1 == len(labels)
        value = text[end:] if last else text[end : labels[at + 1][1]]
        number = mark["number"] if mark and mark["number"] else None
        fields.append(_Field(kind, int(number) if number else None, _value(value, _unclosed(mark), last)))
    head = text[: labels[0][1]] if labels else ""
    preamble = [line for line in head.splitlines() if line.strip() and not _FENCE_LINE.fullmatch(line)]
    while preamble and (preamble[0].rstrip().endswith((":", "：")) or is_announcement(preamble[0])):
        del preamble[0]
    return "\n".join(preamble).strip(), fields


_Label = tuple[Kind, int, int, "re.Match[str] | None"]


def _labels(text: str, names: Sequence[tuple[Kind, str]]) -> list[_Label]:
    """Labels at line starts. Labels without a colon count if they are marked up, or if none has a colon."""
    found: list[_Label] = [
        (kind, mark.start(), mark.end(), mark)
        for kind, name in names
        for mark in re.finditer(_BEFORE + name + _BEHIND, text, re.IGNORECASE | re.MULTILINE)
    ]
    sure = [label for label in found if (mark := label[3]) and (mark["colon"] or mark["mark"].strip() or mark["open"])]
    return sure if any(kind == "output" for kind, *_ in sure) else found


def _separators(text: str, starts: set[int]) -> Iterator["re.Match[str]"]:
    """`Example 2`, and a number or rule alone on a line above a label; elsewhere these belong to the text."""
    for mark in _EXAMPLE.finditer(text):
        following = re.compile(r"\s*?^(?=[ \t>]*\S)", re.MULTILINE).match(text, mark.end())
        if mark["number"] or (following and following.end() in starts):
            yield mark


def _inside_lines(text: str, kind: Kind) -> list[_Label]:
    """`Input: 2 + 2 Output: 4`"""
    name = dict(_NAMES)[kind]
    pattern = rf"(?<=\S)[ \t]{{0,9}}[,;|]?[ \t]{{1,9}}(?P<open>{_EMPHASIS})?(?:expected )?{name}{_BEHIND}"
    marks = re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE)
    return [(kind, mark.start(), mark.end(), mark) for mark in marks if mark["colon"]]


def _unclosed(mark: "re.Match[str] | None") -> str:
    opened = mark["open"] if mark else None
    return opened if mark and opened and not (mark["close"] or mark["closed"]) else ""


def _value(text: str, unclosed: str, last: bool) -> str:
    """A field's text without what introduces the next one, or ends the answer."""
    lines = text.strip().splitlines()
    while lines and (
        _ends_a_fence_around_all(lines)
        or (len(lines) > 1 and (_leads_over(lines[-1]) or (last and is_closing(lines[-1]))))
    ):
        del lines[-1]
    text = "\n".join(lines).strip()
    if unclosed and text.endswith(unclosed):
        text = text.removesuffix(unclosed).rstrip()
    whole = _FENCED.fullmatch(text)
    return whole[2].strip() if whole and whole[1] not in whole[2] else text


def _ends_a_fence_around_all(lines: Sequence[str]) -> bool:
    fences = sum(_FENCE_LINE.fullmatch(line) is not None for line in lines)
    return fences % 2 == 1 and _FENCE_LINE.fullmatch(lines[-1]) is not None


def _leads_over(line: str) -> bool:
    return not line.strip() or is_announcement(line) or re.fullmatch(_RULE, line) is not None


def _groups(fields: Sequence[_Field]) -> Iterator[list[_Field]]:
    """Fields between headings such as `Example 2`."""
    group: list[_Field] = []
    for field in fields:
        if field.kind == "example":
            yield group
            group = []
        else:
            group.append(field)
    yield group


def _numbered(group: Sequence[_Field]) -> list[Instance]:
    """`Input 1`, `Input 2`, `Output 1`, `Output 2`: pairs by number."""
    inputs = {field.number: field.text for field in group if field.kind == "input"}
    outputs = {field.number: field.text for field in group if field.kind == "output"}
    if len(inputs) < 2 or None in inputs or inputs.keys() != outputs.keys() or len(group) > 2 * len(inputs):
        return []
    return [Instance(_input(inputs[number]), outputs[number]) for number in inputs]


def _inputs_first(group: Sequence[_Field]) -> list[Instance]:
    found: list[Instance] = []
    given: list[_Field] = []
    for field in group:
        if field.kind == "output":
            found.append(Instance(_joined(given), field.text))
            given = []
        else:
            given.append(field)
    return found


def _labels_first(group: Sequence[_Field]) -> list[Instance]:
    found: list[Instance] = []
    for at, field in enumerate(group):
        if field.kind == "output":
            following = group[at + 1 :]
            end = next((at for at, one in enumerate(following) if one.kind == "output"), len(following))
            label, _, rest = field.text.partition("\n")
            found.append(Instance(_joined(following[:end]) or ("" if following[:end] else _input(rest)), label.strip()))
    return found


def _joined(given: Sequence[_Field]) -> str:
    """The input of adjacent fields: parts of one if they are numbered, else the last one."""
    parts = given if all(field.number for field in given) else given[-1:]
    return _input("\n".join(field.text for field in parts))


def _input(text: str) -> str:
    text = text.strip()
    return "" if _NOTHING.fullmatch(text) else text


def _of_json(value: Any) -> list[Instance]:
    if isinstance(value, list):
        return [one for part in value for one in _of_json(part)]
    if not isinstance(value, Mapping):
        return []
    named = {" ".join(re.findall(r"[a-z]+", str(key).lower())): one for key, one in value.items()}
    output = next((named[key] for key in ("output", "expected output", "class label", "label") if key in named), None)
    if output is None:
        return [one for part in value.values() if isinstance(part, list) for one in _of_json(part)]
    return [Instance(_input(_as_text(named.get("input"))), _as_text(output).strip())]


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
