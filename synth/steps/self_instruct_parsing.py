"""Parses a model's tasks and instances, and filters them as Self-Instruct does (arXiv 2212.10560).

Promises: no text raises an exception; an answer that max_tokens cut loses only its last, incomplete item. Filters
return the reason why an item is unfit, in a word or two, or None.
"""

import re
import string
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

from synth.quality.exact_duplicate import normalized
from synth.steps.copies import is_copy
from synth.steps.instances import Instance, input_first, output_first
from synth.steps.item_list import items

__all__ = ["Instance", "input_first", "is_yes", "items", "output_first", "sifted", "unfit_task"]

# Words of tasks that a language model can't do (the paper's section 2.2 and its code).
_BLACKLIST = "image images graph graphs picture pictures file files map maps draw plot".split()
_BLACKLISTED = re.compile(rf"\b({'|'.join(_BLACKLIST)}|go to)\b", re.I)
_VERDICT = re.compile(
    r"\W*(?:(?:the |my )?(?:answer|verdict)(?: is)?\W+)?(?P<verdict>yes|no)\b(?!\W*(?:or|and)?\W*(?:yes|no)\b)", re.I
)


def unfit_task(task: str) -> str | None:
    """Why a task is left out, by the rules of the paper's section 2.2 and of its code; else None."""
    words = len(task.split())
    if words <= 3:
        return "too_short"
    if words > 150:
        return "too_long"
    if _BLACKLISTED.search(task):
        return "keyword"
    if task.lower().startswith("write a program"):
        return "asks_for_a_program"  # a rule of the paper: models tend to write many of these
    if task[0] in string.punctuation or not task[0].isascii():
        return "first_character"
    return None


def is_yes(text: str) -> bool | None:
    """A model's Yes or No; None if it says neither or both, as an echo of the question does."""
    found = _VERDICT.match(text)
    return None if found is None else found["verdict"].lower() == "yes"


def sifted(
    instances: list[Instance], task: str = "", shown: Collection[tuple[str, str]] = frozenset()
) -> list[Instance]:
    """The instances of a task, unfit ones with their reason (the postprocessing of the paper's code).

    `shown` are the inputs and outputs of the prompt's examples.

    If the same input has different outputs, none of these instances is kept. That also holds for tasks without an
    input, for which the paper's code keeps them.
    """
    outputs = defaultdict(set)
    for instance in instances:
        outputs[instance.input].add(instance.output)
    seen: set[Instance] = set()
    found = []
    for instance in instances:
        unfit = _unfit(instance, task, shown)
        if unfit is None and len(outputs[instance.input]) > 1:
            unfit = "contradictory_outputs"
        if unfit is None and instance in seen:
            unfit = "repeated_instance"
        seen.add(instance)
        found.append(replace(instance, unfit=unfit))
    return found


def _unfit(instance: Instance, task: str, shown: Collection[tuple[str, str]]) -> str | None:
    if re.fullmatch(r"[\s.…]*", instance.output):
        return "empty_output"  # or the prompt's placeholder "Output: ..."
    if instance.input == instance.output:
        return "output_is_input"
    if task and normalized(instance.output) == normalized(task):
        return "output_is_task"
    # An example's label may recur; its input, or its whole instance without input, is a copy.
    if is_copy(instance.input or instance.output, [given or output for given, output in shown]):
        return "copies_prompt"
    if instance.input.endswith(":") or instance.output.endswith(":"):
        return "ends_with_colon"  # incomplete
    return None
