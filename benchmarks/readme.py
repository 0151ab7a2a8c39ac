"""README's performance table and its plots, out of benchmarks/results/*.json.

    python benchmarks/readme.py

Writes what stands between the two marks in README.md, and benchmarks/results/*.png. A benchmark without a result has no
row.
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
BEGIN, END = "<!-- python benchmarks/readme.py writes this -->", "<!-- up to here -->"
NAMES = {"magpie": "Magpie", "evol": "Evol-Instruct", "self_instruct": "Self-Instruct, from contexts"}


def main() -> int:
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + "\n" + table(results) + END + after)
    if "engine_limit" in results:
        plot_limit(results["engine_limit"])
    if "scale" in results:
        plot_scale(results["scale"])
    return 0


def table(results: dict[str, Any]) -> str:
    """The lines between the marks."""
    rows = [row for name, of in ROWS.items() if name in results for row in of(results[name])]
    lines = ["| measured | | on |", "| --- | ---: | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n" + "\n".join(lines) + "\n\n"


def limit(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    what = told["machine"]
    on = f"{what['processor']}, {what['parameters'] / 1e6:.0f} M parameters, {what['max_num_seqs']} sequences"
    for workload, arms in told["workloads"].items():
        synth = arms["synth"]
        yield (
            f"{NAMES[workload]}: tokens/s, of the engine's limit",
            f"{synth['steady_of_limit']:.2f} steady, {synth['of_limit']:.2f} in all",
            on,
        )
        if "barriers" in arms:
            barriers = arms["barriers"]
            yield (
                "the same with a barrier between rounds",
                f"{barriers['steady_of_limit']:.2f} steady, {barriers['of_limit']:.2f} in all",
                on,
            )


def peers(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    on = f"{told['machine']}, {told['parameters'] / 1e6:.0f} M parameters, {told['engine']['max_num_seqs']} sequences"
    for workload, compared in told["workloads"].items():
        for arm, pairs in compared["synth_ahead"].items():
            ratio = statistics.mean(pair["tokens_per_second"] for pair in pairs)
            yield f"{NAMES[workload]}: tokens/s, of those of {arm}", f"{ratio:.2f}", on


def scale(told: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    last, merge = told["replicas"][-1], told["merge"]
    yield (
        f"plan, lease, journal and commit, {last['replicas']:,} simulated replicas",
        f"{last['records_per_second']:,} records/s",
        told["machine"],
    )
    yield (
        "the driver's processor time of a record",
        f"{last['driver_microseconds_per_record']:.1f} µs",
        told["machine"],
    )
    yield (f"merge of {merge['rows']:,} rows", f"{merge['merge_s']:.1f} s", told["machine"])


ROWS = {"engine_limit": limit, "peers": peers, "scale": scale}


def plot_limit(told: dict[str, Any]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2))
    for at, arms in enumerate(told["workloads"].values()):
        for arm, colour in (("synth", "#2b6cb0"), ("barriers", "#c05621")):
            if arm in arms:
                place = at + (-0.2 if arm == "synth" else 0.2)
                axes.bar(place, arms[arm]["of_limit"], 0.36, color=colour, label=arm if at == 0 else None)
                axes.plot([place], [arms[arm]["steady_of_limit"]], "k_", markersize=20)
    axes.axhline(1, color="#718096", linewidth=0.8)
    axes.set_xticks(range(len(told["workloads"])), [NAMES[one] for one in told["workloads"]])
    axes.set_ylabel("tokens/s, of the engine's limit\n(bar: whole run; dash: steady)")
    axes.legend(loc="lower right")
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
