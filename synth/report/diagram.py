"""A strategy as a picture: its steps, how many records and calls they make of one, and how a record may end.

All of it is told by the steps themselves: `calls()`, and if they like `rejections`, the reasons that they give, and
`num_outputs`, the records that they make of one at the most (None: several, and nobody knows how many), and `outline`,
what they do inside, such as rounds. Of a filter that has no outline, its parameters are shown: they are its
thresholds. What a step does not tell is drawn as not told.

Promises: whatever names and reasons are made of, they are text in the picture and never markup. Knows nothing of what
a step does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

from synth.engines import Task
from synth.printable import printable
from synth.steps.llm import MAIN
from synth.steps.strategy import Step, Strategy

_NUMBERS: dict[Task, str] = {"score": "a score", "embed": "an embedding"}


@dataclass(frozen=True)
class Stage:
    """A step as drawn. `calls` are those for each record that comes to it, None where it does not tell; `models` the
    models of the run that answer them; `numbers` what it asks of others, such as `a score of reward`.

    `num_outputs` is 1 for a step that makes one record of one, None where it makes several and can't say how many.
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
        """What stands in its box below its name."""
        return [self.cost, *self.inside]

    @property
    def cost(self) -> str:
        """`at most 2 calls` in words."""
        if self.calls is None:
            return "calls not told"
        of = "" if self.models in ((), (MAIN,)) else f" of {' and '.join(self.models)}"
        calls = [f"at most {_counted(self.calls, 'call')}{of}"] if self.calls else []
        return ", ".join([*calls, *self.numbers]) or "no calls"

    @property
    def branches(self) -> str:
        """`up to 5 records`, or nothing where one record stays one."""
        return (
            ""
            if self.num_outputs == 1
            else f"up to {self.num_outputs} records"
            if self.num_outputs
            else "several records"
        )


def stages(strategy: Strategy) -> list[Stage]:
    """Raises ConfigError where what a step tells of itself is not what it should be."""
    return [_stage(step) for step in strategy.steps]


def whole_cost(chain: Sequence[Stage]) -> str:
    """Calls for one record of the source and all that is made of it, as far as they can be known."""
    told: list[str] = []
    calls, records, by = 0, 1, ""
    for stage in chain:
        if stage.calls is None:
            return f"calls a record not known: the step {stage.name} does not tell"
        calls += records * stage.calls
        if stage.num_outputs is None:
            told.append(f"{_counted(calls, 'call')} {by}")
            calls, records, by = 0, 1, f"for each record that {stage.name} makes"
        else:
            records *= stage.num_outputs
    if calls or not told:
        told.append(f"{_counted(calls, 'call')} {by}")
    told[0] = told[0].strip() + " for a record of the source"
    return "at most " + ", and ".join(told)


def mermaid(strategy: Strategy) -> str:
    """Mermaid's text, for https://mermaid.live and for any Markdown that renders it."""
    chain = stages(strategy)
    lines = ["flowchart TD", f'    source(["source<br/>{_mermaid_text(whole_cost(chain))}"])']
    before, label = "source", ""
    for number, stage in enumerate(chain, 1):
        id = f"step{number}"
        reasons = "<br/>".join(map(_mermaid_text, stage.rejections)) or "reasons not told"
        lines += [
            f'    {id}["{_mermaid_text(stage.name)}<br/>{"<br/>".join(map(_mermaid_text, stage.lines))}"]',
            f"    {before} -->{label} {id}",
            f'    {id} -.-> rejected{number}(["rejected<br/>{reasons}"])',
        ]
        before, label = id, f'|"{stage.branches}"|' if stage.branches else ""
    lines.append(f'    {before} -->{label} dataset[("dataset: {_mermaid_text(strategy.name)}")]')
    return "\n".join(lines)


def _stage(step: Step) -> Stage:
    told = step.description
    calls = None if told.calls is None else len(told.calls)
    rejections = tuple(map(short, told.rejections))
    models = tuple(map(short, sorted(step.generating)))
    numbers = tuple(f"{_NUMBERS[task]} of {short(name)}" for name, task in sorted(step.pooling.items()))
    inside = told.outline or (_parameters(step.function) if told.is_filter or told.duplicates else ())
    lines = tuple(short(line, 160) for line in inside)
    return Stage(short(step.name), calls, models, numbers, rejections, told.num_outputs, lines)


def _parameters(function: Any) -> list[str]:
    """A filter's, those that have a value: `response: min 3, max 100`."""
    if isinstance(function, partial):
        given = dict(function.keywords)
    elif is_dataclass(function) and not isinstance(function, type):
        given = {one.name: getattr(function, one.name) for one in fields(function) if one.repr}
    else:
        given = {}
    column = given.pop("column", None)
    told = ", ".join(f"{name} {value}" for name, value in _values(given))
    return [f"{column}: {told}" if column and told else str(column or told)] if column or told else []


def _values(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers, words and short lists of them; whatever else a parameter holds is no threshold."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _values({f"{name} {key}": one for key, one in value.items()})
        elif isinstance(value, list | tuple):
            if value and all(isinstance(one, str | int | float) for one in value):
                yield name, "/".join(map(str, value))
        elif isinstance(value, float):
            yield name, f"{value:g}"
        elif isinstance(value, str | int):
            yield name, str(value).lower() if isinstance(value, bool) else str(value)


def short(text: str, most: int = 60) -> str:
    """One line, as it can be shown anywhere."""
    text = " ".join(printable(text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _mermaid_text(text: str) -> str:
    """Every sign as its number: Mermaid has a meaning for most of them, and more in each version."""
    return "".join(one if one.isalnum() or one in " _.,:" else f"#{ord(one)};" for one in short(text, 200))


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
