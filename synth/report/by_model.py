"""What the engines of a run's models have done, as metrics.jsonl tells it."""

from collections.abc import Iterable, Mapping
from typing import Any

from synth.records import Spent, add_spent


def by_model(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Spent]:
    """Of the models beside main tokens, and seconds in which their engines had requests, of all processes of a run
    together: the last line of each tells what it did. Calls are not told."""
    last = {one.get("started"): one["models"] for one in snapshots if isinstance(one.get("models"), Mapping)}
    total: dict[str, Spent] = {}
    for models in last.values():
        for name, told in models.items():
            if isinstance(told, Mapping):
                add_spent(total, {str(name): _spent(told)})
    return total


def by_main(snapshots: Iterable[Mapping[str, Any]]) -> Spent:
    """The same of main."""
    last = {one.get("started"): one for one in snapshots}
    return sum(map(_spent, last.values()), Spent())


def _spent(told: Mapping[str, Any]) -> Spent:
    numbers = [told.get(name) for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "engine_seconds")]
    read, cached, written, seconds = (one if isinstance(one, int | float) else 0 for one in numbers)
    return Spent(0, int(read), int(cached), int(written), seconds)
