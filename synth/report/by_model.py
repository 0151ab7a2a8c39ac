"""What the engines of a run's models beside main have done, as metrics.jsonl tells it."""

from collections.abc import Iterable, Mapping
from typing import Any

from synth.records import Spent, add_spent


def by_model(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Spent]:
    """Tokens, and seconds in which its engines had requests, of all processes of a run together: the last line of each
    tells what it did. Calls and cached tokens are not told."""
    last = {one.get("started"): one["models"] for one in snapshots if isinstance(one.get("models"), Mapping)}
    total: dict[str, Spent] = {}
    for models in last.values():
        for name, told in models.items():
            if isinstance(told, Mapping):
                numbers = [told.get(key) for key in ("prompt_tokens", "completion_tokens", "engine_seconds")]
                read, written, seconds = (one if isinstance(one, int | float) else 0 for one in numbers)
                add_spent(total, {str(name): Spent(0, int(read), 0, int(written), seconds)})
    return total
