"""README's performance tables and their plots, and the table of docs/levers.md, out of benchmarks/results/*.json.

    python benchmarks/readme.py

Writes what stands between the two marks in both pages, and benchmarks/results/*.png. A benchmark without a result has
no row.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterator
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
PEERS = {
    "barrier": "a script with a barrier between rounds",
    "distilabel": "distilabel",
    "ray_data": "Ray Data LLM",
    "datatrove": "DataTrove",
    "data_designer": "NeMo Data Designer",
}
NAMES = {
    "magpie": "Magpie",
    "magpie_hot": "Magpie, instructions at temperature 1.0",
    "evol": "Evol-Instruct",
    "self_instruct": "Self-Instruct",
}


def main() -> int:
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    write(README, tables(results))
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


def tables(results: dict[str, Any]) -> str:
    """The lines between the marks."""
    parts = [*(TABLES[name](results[name]) for name in TABLES if name in results)]
    parts += [[f"![{name.replace('_', ' ')}](benchmarks/results/{name}.png)" for name in PLOTS if name in results]]
    return "\n".join(line for part in parts for line in ("", *part)) + "\n\n"


def levers(workloads: dict[str, Any]) -> str:
    """A row for each arm that is not the default, with what it is worth in each workload."""
    names = [NAMES[name] for name in workloads]
    lines = [f"| | {' | '.join(names)} | start |", f"| --- |{' ---: |' * (len(names) + 1)}"]
    first = next(iter(workloads.values()), {"levers": {}})
    for lever, arms in first["levers"].items():
        for arm in list(arms)[1:]:
            here = [results["levers"].get(lever, {}).get(arm) for results in workloads.values()]
            worth = [f"{one['worth']:.2f}" if one else "" for one in here]
            start = f"{arms[arm]['start_s']:.0f} s" if "start_s" in arms[arm] else ""
            lines.append(f"| {LEVER[lever].format(arm)} | {' | '.join(worth)} | {start} |")
    return "\n".join(["", *lines, ""]) + "\n"


def limit(results: dict[str, Any]) -> Iterator[str]:
    what = results["machine"]
    yield f"| share of the engine's limit: {_on(what['processor'], what['parameters'])} | steady | in all |"
    yield "| --- | ---: | ---: |"
    for workload, arms in results["workloads"].items():
        for arm, name in (("synth", NAMES[workload]), ("barriers", "the same with a barrier between rounds")):
            if arm in arms:
                yield f"| {name} | {arms[arm]['steady_of_limit']:.2f} | {arms[arm]['of_limit']:.2f} |"


def peers(results: dict[str, Any]) -> Iterator[str]:
    """Each other tool at the fastest of the settings that were tried."""
    workloads = results["workloads"]
    names = " | ".join(NAMES[workload] for workload in workloads)
    yield f"| Synth's tokens/s over those of: {_on(results['machine'], results['parameters'])} | {names} |"
    yield f"| --- |{' ---: |' * len(workloads)}"
    for peer, name in PEERS.items():
        ahead = [_least(compared["synth_ahead"], peer) for compared in workloads.values()]
        if any(ahead):
            yield f"| {name} | {' | '.join(ahead)} |"


def _on(machine: str, parameters: int) -> str:
    return f"vLLM, {parameters / 1e6:.0f} M parameters, {machine}"


def _least(arms: dict[str, Any], peer: str) -> str:
    means = [statistics.mean(pair["tokens_per_second"] for pair in arms[arm]) for arm in arms if arm.startswith(peer)]
    return f"{min(means):.2f}" if means else ""


def scale(results: dict[str, Any]) -> Iterator[str]:
    last, merge = results["replicas"][-1], results["merge"]
    yield f"| {last['replicas']:,} simulated replicas: {results['machine']} | |"
    yield "| --- | ---: |"
    yield f"| plan, lease, journal and commit | {last['records_per_second']:,} records/s |"
    yield f"| the driver's processor time of a record | {last['driver_microseconds_per_record']:.1f} µs |"
    yield f"| merge of {merge['rows']:,} rows | {merge['merge_s']:.1f} s |"


TABLES: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {
    "engine_limit_real": limit,
    "engine_limit": limit,
    "peers_real": peers,
    "peers": peers,
    "scale": scale,
}
PLOTS = ("engine_limit", "scale")


def plot_limit(results: dict[str, Any]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2))
    for at, arms in enumerate(results["workloads"].values()):
        shown = [arm for arm in COLOURS if arm in arms]
        for place, arm in enumerate(shown):
            x = at + 0.4 * (place - (len(shown) - 1) / 2)
            axes.bar(x, arms[arm]["of_limit"], 0.36, color=COLOURS[arm], label=arm if at == 0 else None)
            axes.plot([x], [arms[arm]["steady_of_limit"]], "k_", markersize=20)
    axes.axhline(1, color="#718096", linewidth=0.8)
    axes.set_xticks(range(len(results["workloads"])), [NAMES[one] for one in results["workloads"]])
    axes.set_ylabel("tokens/s, of the engine's limit\n(bar: whole run; dash: steady)")
    axes.set_ylim(0, 1.25)
    axes.legend(loc="upper center", ncols=2, frameon=False)
    save(figure, "engine_limit")


def plot_scale(results: dict[str, Any]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2))
    counts = [one["replicas"] for one in results["replicas"]]
    cost = [one["driver_microseconds_per_record"] for one in results["replicas"]]
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
