"""A strategy as a diagram: its steps, the records and calls that they make of one record, and rejection reasons.

The data comes from what the steps declare: `calls()`, `rejections` (reasons), `num_outputs`, the most records that they
make of one (None: several, the number is unknown), and `outline`, what they do inside, such as rounds. For a filter
without an outline its parameters are shown, which are its thresholds. What a step does not declare is drawn as unknown.

Promises: names and reasons are text in the diagram, never markup.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

from synth.engines import Task
from synth.printable import printable
from synth.steps.endpoints import MAIN
from synth.steps.strategy import Step, Strategy

_NUMBERS: dict[Task, str] = {"score": "a score", "embed": "an embedding"}


@dataclass(frozen=True)
class Stage:
    """A step as drawn. `calls` is the number of calls per record, None if it does not declare them; `models` are the
    models that answer them; `numbers` are scores and embeddings, such as `a score of reward`.

    `num_outputs` is 1 for a step that makes one record of one, None if it makes an unknown number.
    """

    name: str
    calls: int | None
    models: tuple[str, ...]
    numbers: tuple[str, ...]
    rejections: tuple[str, ...]
    num_outputs: int | None
    inside: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The lines in its box below its name."""
        return [self.cost, *self.inside]

    @property
    def cost(self) -> str:
        """For example `at most 2 calls`."""
        if self.calls is None:
            return "calls unknown"
        of = "" if self.models in ((), (MAIN,)) else f" of {' and '.join(self.models)}"
        calls = [f"at most {_counted(self.calls, 'call')}{of}"] if self.calls else []
        return ", ".join([*calls, *self.numbers]) or "no calls"

    @property
    def branches(self) -> str:
        """For example `up to 5 records`; empty if one record stays one."""
        return (
            ""
            if self.num_outputs == 1
            else f"up to {self.num_outputs} records"
            if self.num_outputs
            else "several records"
        )


def stages(strategy: Strategy) -> list[Stage]:
    """Raises ConfigError if a step's declaration is invalid."""
    return [_stage(step) for step in strategy.steps]


def whole_cost(chain: Sequence[Stage]) -> str:
    """Calls per record of the source, with all records made of it, as far as they are known."""
    parts: list[str] = []
    calls, records, by = 0, 1, ""
    for stage in chain:
        if stage.calls is None:
            return f"calls per record unknown: the step {stage.name} does not declare them"
        calls += records * stage.calls
        if stage.num_outputs is None:
            parts.append(f"{_counted(calls, 'call')} {by}")
            calls, records, by = 0, 1, f"per record from {stage.name}"
        else:
            records *= stage.num_outputs
    if calls or not parts:
        parts.append(f"{_counted(calls, 'call')} {by}")
    parts[0] = parts[0].strip() + " per record of the source"
    return "at most " + ", and ".join(parts)


def mermaid(strategy: Strategy) -> str:
    """A Mermaid diagram, for https://mermaid.live and any Markdown that renders it."""
    chain = stages(strategy)
    lines = ["flowchart TD", f'    source(["source<br/>{_mermaid_text(whole_cost(chain))}"])']
    before, label = "source", ""
    for number, stage in enumerate(chain, 1):
        id = f"step{number}"
        reasons = "<br/>".join(map(_mermaid_text, stage.rejections)) or "reasons unknown"
        lines += [
            f'    {id}["{_mermaid_text(stage.name)}<br/>{"<br/>".join(map(_mermaid_text, stage.lines))}"]',
            f"    {before} -->{label} {id}",
            f'    {id} -.-> rejected{number}(["rejected<br/>{reasons}"])',
        ]
        before, label = id, f'|"{stage.branches}"|' if stage.branches else ""
    lines.append(f'    {before} -->{label} dataset[("dataset: {_mermaid_text(strategy.name)}")]')
    return "\n".join(lines)


def _stage(step: Step) -> Stage:
    declared = step.description
    calls = None if declared.calls is None else len(declared.calls)
    rejections = tuple(map(short, declared.rejections))
    models = tuple(map(short, sorted(step.generating)))
    numbers = tuple(f"{_NUMBERS[task]} of {short(name)}" for name, task in sorted(step.pooling.items()))
    inside = declared.outline or (_parameters(step.function) if declared.is_filter or declared.duplicates else ())
    lines = tuple(short(line, 160) for line in inside)
    return Stage(short(step.name), calls, models, numbers, rejections, declared.num_outputs, lines)


def _parameters(function: Any) -> list[str]:
    """A filter's parameters that have a value, for example `response: min 3, max 100`."""
    if isinstance(function, partial):
        given = dict(function.keywords)
    elif is_dataclass(function) and not isinstance(function, type):
        given = {field.name: getattr(function, field.name) for field in fields(function) if field.repr}
    else:
        given = {}
    column = given.pop("column", None)
    parameters = ", ".join(f"{name} {value}" for name, value in _values(given))
    line = f"{column}: {parameters}" if column and parameters else str(column or parameters)
    return [line] if line else []


def _values(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers, words and short lists of them; other values are no thresholds."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _values({f"{name} {key}": one for key, one in value.items()})
        elif isinstance(value, list | tuple):
            if value and all(isinstance(item, str | int | float) for item in value):
                yield name, "/".join(map(str, value))
        elif isinstance(value, float):
            yield name, f"{value:g}"
        elif isinstance(value, str | int):
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


def short(text: str, most: int = 60) -> str:
    """One line of bounded length."""
    text = " ".join(printable(text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _mermaid_text(text: str) -> str:
    """Every character as its numeric entity: Mermaid interprets most others, differently in each version."""
    return "".join(one if one.isalnum() or one in " _.,:" else f"#{ord(one)};" for one in short(text, 200))


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
