"""Texts whose worth is known, and what the filters of `magpie_filtered` make of them.

Loops on which readers differ ("loop close" in the note) count for neither side.

labelled.jsonl is Magpie on SmolLM2-135M-Instruct, unfiltered: temperature 0.9 with top_p 0.95, and 1.0; answers greedy,
300 tokens at most. `instruction_problem` and `response_problems` say what a reader found; a row is usable if its
instruction and its response are. `off_topic` and `wrong` are for a judge, and leave a response usable.

unseen.jsonl has as many more rows: most of the rules were made without it, and labels given before a filter had seen a
row. The same model at temperatures of 0.7 to 1.0 without top_p, and a fifth of the instructions written by
hand; answers of 200 to 400 tokens. `logprob` is the mean log-probability of an instruction that was drawn.

unseen2.jsonl has 152 more of other runs: `keep` and `drop` at 0.7 to 1.0, and answers to short instructions that the
same model wrote in few-shot prompts. Labelled before a filter had seen them; some rules were mended by them after, but
for the last 34.

unseen3.jsonl has 133 of Magpie at 0.9, labelled after the last rule was made and not used for any; one label was put
right when it was looked at.

good.jsonl has records that nobody would throw away, of many kinds; queries.json ordinary short queries, verbs and
topics that make a grid of more, English with words of other languages in it, and queries in other languages.
"""

import inspect
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir

from synth.configuration.config_groups import CONF_DIR
from synth.configuration.parsing import parse
from synth.records import Rejection

COLUMNS = ("instruction", "response", "finish_reason")
NO_FILTERS = {"incoherent", "fragment", "off_topic", "wrong"}  # what a judge is for
_HERE = Path(__file__).parent
ROWS = [json.loads(line) for line in (_HERE / "labelled.jsonl").read_text().splitlines()]
UNSEEN = [json.loads(line) for line in (_HERE / "unseen.jsonl").read_text().splitlines()]
UNSEEN2 = [json.loads(line) for line in (_HERE / "unseen2.jsonl").read_text().splitlines()]
UNSEEN3 = [json.loads(line) for line in (_HERE / "unseen3.jsonl").read_text().splitlines()]
GOOD = [json.loads(line) | {"finish_reason": "stop"} for line in (_HERE / "good.jsonl").read_text().splitlines()]
QUERIES = json.loads((_HERE / "queries.json").read_text())
GRID = [f"{verb} {topic}" for verb in QUERIES["verbs"] for topic in QUERIES["topics"]]


@cache
def filters():
    """Those steps of the strategy that look at a record alone, by name."""
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        steps = parse(compose("config", ["+strategy=magpie_filtered", "engine=simulated"])).strategy.steps
    looks = {step.name: step.function for step in steps if "quality" in type(step.function).__module__}
    return {name: step for name, step in looks.items() if not hasattr(step, "duplicates")}


async def reasons(row: Mapping[str, str]) -> list[str]:
    """Why filters reject a record of these columns, in their order, each as if it stood alone."""
    found = []
    for step in filters().values():
        try:
            kept = step({name: row[name] for name in COLUMNS}, None)
            await kept if inspect.isawaitable(kept) else kept
        except Rejection as rejection:
            found.append(rejection.reason)
    return found


async def verdict(row: Mapping[str, str]) -> str | None:
    """The reason of the first filter that rejects a record, None where none does."""
    return next(iter(await reasons(row)), None)


def problems(row):
    """What is wrong with a row, in the labels' words."""
    return {row["instruction_problem"], *row["response_problems"]} - {None, "wrong", "off_topic"}


def is_usable(row):
    return row["instruction_usable"] and row["response_usable"]


def is_close(row):
    """Whether all that is wrong is a loop on which readers differ: it counts for neither side."""
    return "loop close" in (row["note"] or "") and not problems(row) - {"loop"}


def figures(rows, verdicts):
    """How many rows are kept, how many of these are usable, and of the usable ones rejected."""
    decided = [(row, reason) for row, reason in zip(rows, verdicts, strict=True) if not is_close(row)]
    rows, verdicts = zip(*decided, strict=True)
    kept = [row for row, reason in zip(rows, verdicts, strict=True) if reason is None]
    usable, kept_usable = sum(map(is_usable, rows)), sum(map(is_usable, kept))
    return {
        "kept": len(kept),
        "kept_sound": sum(not problems(row) - NO_FILTERS for row in kept),  # in what a filter is responsible for
        "kept_usable": kept_usable,
        "usable": usable,
        "usable_rejected": usable - kept_usable,
    }
