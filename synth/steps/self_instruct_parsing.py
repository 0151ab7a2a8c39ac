"""What a model writes when asked for tasks, queries or instances, taken apart (Self-Instruct, arXiv 2212.10560).

Promises: no text raises an exception; what was cut by max_tokens loses its last, incomplete item and nothing else.
Filters return the reason why something is not fit, in a word or two, or None.

Knows nothing of models, records or pools.
"""

import re
import string
from collections import defaultdict
from dataclasses import dataclass, replace

_NUMBER = re.compile(
    r"\s*[*_#]{0,3}\s*(?:(?:task|query|question|instruction)\s*)?[#(]?\d{1,4}\s*[.):]+[*_]{0,2}(?:\s+|$)", re.I
)
_BULLET = re.compile(r"\s*[-*+•‣◦–]\s+")
_QUOTES = {'"': '"', "“": "”", "«": "»", "'": "'", "`": "`"}

# Tasks on what a language model can neither see nor make (the paper's section 2.2 and its code).
_BLACKLIST = "image images graph graphs picture pictures file files map maps draw plot".split()
_BLACKLISTED = re.compile(rf"\b({'|'.join(_BLACKLIST)}|go to)\b", re.I)

_NOTHING = re.compile(r"\W*(none|n/?a|no ?input|nothing|empty)?\W*", re.I)
_EXAMPLE = re.compile(r"^\s*(?:###\s*)?Example\s*\d*\s*[.:]?\s*$", re.I | re.M)
_INPUT = re.compile(r"^\s*Input\s*\d*\s*:", re.I | re.M)
_OUTPUT = re.compile(r"^\s*Output\s*\d*\s*:", re.I | re.M)
_LABEL = re.compile(r"^\s*Class label\s*\d*\s*:", re.I | re.M)


def items(text: str, cut: bool = False) -> list[str]:
    """The items of a numbered or bulleted list, or else its lines: marks stripped, each on one line.

    What stands before the first mark is the model's preamble. `cut` drops the last item.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    mark = next((one for one in (_NUMBER, _BULLET) if any(map(one.match, lines))), None)
    found: list[str] = []
    for line in lines:
        if mark is None or mark.match(line):
            found.append(mark.sub("", line, count=1) if mark else line)
        elif found:
            found[-1] += f" {line}"
    if mark is None and len(found) > 1 and found[0].rstrip().endswith(":"):
        del found[0]
    if cut:
        del found[-1:]
    return [item for item in map(_bare, found) if item]


def _bare(text: str) -> str:
    """Without what may be around an item: spaces, bold type, quotation marks."""
    text = " ".join(text.split())
    if len(text) > 4 and text.startswith("**") and text.endswith("**") and "**" not in text[2:-2]:
        text = text[2:-2].strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and not {text[0], text[-1]} & set(text[1:-1]):
        text = text[1:-1].strip()
    return text


def unfit_task(task: str) -> str | None:
    """Why a task is left out, by the rules of the paper's section 2.2 and of its code."""
    words = len(task.split())
    if words <= 3:
        return "too_short"
    if words > 150:
        return "too_long"
    if _BLACKLISTED.search(task):
        return "keyword"
    if task.lower().startswith("write a program"):
        return "asks_for_a_program"  # the paper's: models tend to write many of these
    if task[0] in string.punctuation or not task[0].isascii():
        return "first_character"
    return None


def is_yes(text: str) -> bool | None:
    """A model's Yes or No; None where it said neither."""
    verdict = re.match(r"\W*(yes|no)\b", text, re.I)
    return None if verdict is None else verdict[1].lower() == "yes"


@dataclass(frozen=True)
class Instance:
    """An input, empty where the task needs none, and its output. `unfit` says why it is left out."""

    input: str
    output: str
    unfit: str | None = None


def output_first(text: str, cut: bool = False) -> list[Instance]:
    """Instances of a classification: each a class label, then an input that gets it."""
    instances = []
    for block in _LABEL.split(text)[1:]:
        label, _, rest = ("", "", block) if _INPUT.match(block) else block.strip().partition("\n")
        instances.append(Instance(_input(_EXAMPLE.sub("", rest)), label.strip()))
    return instances[:-1] if cut else instances


def input_first(text: str, cut: bool = False) -> list[Instance]:
    """Instances of any other task: each an input, then its output. The input may be left out or be named (none)."""
    instances = []
    for example in _EXAMPLE.split(text):
        given, *answers = _OUTPUT.split(example)
        for answer in answers:
            # Between two outputs stands the next instance's input.
            output, *following = _INPUT.split(answer, maxsplit=1)
            instances.append(Instance(_input(given), output.strip()))
            given = following[0] if following else ""
    return instances[:-1] if cut else instances


def _input(text: str) -> str:
    text = _INPUT.sub("", text, count=1).strip()
    return "" if _NOTHING.fullmatch(text) else text


def sifted(instances: list[Instance]) -> list[Instance]:
    """The instances, the unfit ones with their reason (the post-processing of the paper's code).

    Same input and different outputs: nobody knows which is right, so none of these is kept. That holds for tasks
    without an input too, which the paper's code lets through.
    """
    outputs = defaultdict(set)
    for one in instances:
        outputs[one.input].add(one.output)
    seen: set[Instance] = set()
    found = []
    for one in instances:
        unfit = _unfit(one)
        if unfit is None and len(outputs[one.input]) > 1:
            unfit = "contradictory_outputs"
        if unfit is None and one in seen:
            unfit = "repeated_instance"
        seen.add(one)
        found.append(replace(one, unfit=unfit))
    return found


def _unfit(instance: Instance) -> str | None:
    if not instance.output:
        return "empty_output"
    if instance.input == instance.output:
        return "output_is_input"
    if instance.input.endswith(":") or instance.output.endswith(":"):
        return "ends_with_colon"  # something was to follow
    return None
