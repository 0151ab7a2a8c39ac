"""README's performance table and its plots, and the table of docs/levers.md, out of benchmarks/results/*.json.

    python benchmarks/readme.py

Writes what stands between the two marks in both pages, and benchmarks/results/*.png. A benchmark without a result has
no row.
"""

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE.parent / "README.md"
LEVERS = HERE.parent / "docs" / "levers.md"
BEGIN, END = "<!-- python benchmarks/readme.py writes this -->", "<!-- up to here -->"
COLOURS = {"synth": "#2b6cb0", "barriers": "#c05621"}
LEVER = {
    "in_flight": "records in flight: {}, not 2 x batch",
    "priority": "requests of older records first",
    "seeds": "no seeds",
    "text": "text made of every answer, not ids alone",
    "samples": "Magpie's instructions: {}, not one",
    "prefix": "without the prefix cache",
    "ngram": "n-gram speculation, 4 tokens",
    "fp8": "KV cache in 8 bits",
    "compiled": "torch.compile",
}
NAMES = {"magpie": "Magpie", "evol": "Evol-Instruct", "self_instruct": "Self-Instruct"}


def main() -> int:
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    write(README, table(results))
    write(LEVERS, levers({name: results[f"levers_{name}"] for name in NAMES if f"levers_{name}" in results}))
    if "engine_limit" in results:
        plot_limit(results["engine_limit"])
    if "scale" in results:
        plot_scale(results["scale"])
    return 0


def write(page: Path, lines: str) -> None:
    """Between the marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + BEGIN + "\n" + lines + END + after)


def table(results: dict[str, Any]) -> str:
    """The lines between the marks."""
    rows = [row for name, of in ROWS.items() if name in results for row in of(results[name])]
    lines = ["| measured | on | |", "| --- | --- | ---: |", *(f"| {' | '.join(row)} |" for row in rows)]
    plots = [f"![{name.replace('_', ' ')}](benchmarks/results/{name}.png)" for name in PLOTS if name in results]
    return "\n".join(["", *lines, "", *plots, ""]) + "\n"


def levers(workloads: dict[str, Any]) -> str:
    """A row for each arm that is not the default, with what it is worth in each workload."""
    names = [NAMES[name] for name in workloads]
    lines = [f"| | {' | '.join(names)} | start |", f"| --- |{' ---: |' * (len(names) + 1)}"]
    first = next(iter(workloads.values()), {"levers": {}})
    for lever, arms in first["levers"].items():
        for arm in list(arms)[1:]:
            here = [told["levers"].get(lever, {}).get(arm) for told in workloads.values()]
            worth = [f"{one['worth']:.2f}" if one else "" for one in here]
            start = f"{arms[arm]['start_s']:.0f} s" if "start_s" in arms[arm] else ""
            lines.append(f"| {LEVER[lever].format(arm)} | {' | '.join(worth)} | {start} |")
    return "\n".join(["", *lines, ""]) + "\n"


def limit(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    what = told["machine"]
    on = f"{what['processor']}, vLLM, {what['parameters'] / 1e6:.0f} M parameters"
    for workload, arms in told["workloads"].items():
        for arm, name in (("synth", NAMES[workload]), ("barriers", "the same with a barrier between rounds")):
            if arm in arms:
                steady, whole = arms[arm]["steady_of_limit"], arms[arm]["of_limit"]
                yield f"{name}: share of the engine's limit", on, f"{steady:.2f} steady, {whole:.2f} in all"


def peers(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    on = f"{told['machine']}, vLLM, {told['parameters'] / 1e6:.0f} M parameters"
    for workload, compared in told["workloads"].items():
        for arm, pairs in compared["synth_ahead"].items():
            ratio = statistics.mean(pair["tokens_per_second"] for pair in pairs)
            yield f"{NAMES[workload]}: tokens/s over those of {arm}", on, f"{ratio:.2f}"


def scale(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    last, merge = told["replicas"][-1], told["merge"]
    replicas = f"{last['replicas']:,} simulated replicas"
    speed, cost = f"{last['records_per_second']:,} records/s", f"{last['driver_microseconds_per_record']:.1f} µs"
    yield f"{replicas}: plan, lease, journal and commit", told["machine"], speed
    yield f"{replicas}: the driver's processor time of a record", told["machine"], cost
    yield f"merge of {merge['rows']:,} rows", told["machine"], f"{merge['merge_s']:.1f} s"


ROWS = {"engine_limit": limit, "peers": peers, "scale": scale}
PLOTS = ("engine_limit", "scale")


def plot_limit(told: dict[str, Any]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2))
    for at, arms in enumerate(told["workloads"].values()):
        shown = [arm for arm in COLOURS if arm in arms]
        for place, arm in enumerate(shown):
            x = at + 0.4 * (place - (len(shown) - 1) / 2)
            axes.bar(x, arms[arm]["of_limit"], 0.36, color=COLOURS[arm], label=arm if at == 0 else None)
            axes.plot([x], [arms[arm]["steady_of_limit"]], "k_", markersize=20)
    axes.axhline(1, color="#718096", linewidth=0.8)
    axes.set_xticks(range(len(told["workloads"])), [NAMES[one] for one in told["workloads"]])
    axes.set_ylabel("tokens/s, of the engine's limit\n(bar: whole run; dash: steady)")
    axes.set_ylim(0, 1.25)
    axes.legend(loc="upper center", ncols=2, frameon=False)
    save(figure, "engine_limit")


def plot_scale(told: dict[str, Any]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2))
    counts = [one["replicas"] for one in told["replicas"]]
    cost = [one["driver_microseconds_per_record"] for one in told["replicas"]]
    axes.plot(counts, cost, "o-", color="#2b6cb0")
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("replicas")
    axes.set_ylabel("driver, µs a record")
    save(figure, "scale")


def save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
