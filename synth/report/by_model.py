"""Usage by model, from metrics.jsonl."""

from collections.abc import Iterable, Mapping
from typing import Any

from synth.records import Spent, add_spent


def by_model(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Spent]:
    """Tokens and busy engine-seconds of the models beside main, summed over all processes of a run: the last line of
    each process has its totals. Calls are not recorded."""
    last = {
        snapshot.get("started"): snapshot["models"]
        for snapshot in snapshots
        if isinstance(snapshot.get("models"), Mapping)
    }
    total: dict[str, Spent] = {}
    for models in last.values():
        for name, line in models.items():
            if isinstance(line, Mapping):
                add_spent(total, {str(name): _spent(line)})
    return total


def by_main(snapshots: Iterable[Mapping[str, Any]]) -> Spent:
    """The same for main."""
    last = {snapshot.get("started"): snapshot for snapshot in snapshots}
    return sum(map(_spent, last.values()), Spent())


def _spent(line: Mapping[str, Any]) -> Spent:
    numbers = [line.get(name) for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "engine_seconds")]
    read, cached, written, seconds = (number if isinstance(number, int | float) else 0 for number in numbers)
    return Spent(0, int(read), int(cached), int(written), seconds)
