"""What the engines of a run's models beside main have done, as metrics.jsonl tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OfModel:
    """Tokens, and seconds in which its engines had requests, of all processes of a run together."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    engine_seconds: float = 0.0

    def __add__(self, other: "OfModel") -> "OfModel":
        return OfModel(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.engine_seconds + other.engine_seconds,
        )


def by_model(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, OfModel]:
    """The last line of each process tells what it did."""
    last = {one.get("started"): one["models"] for one in snapshots if isinstance(one.get("models"), Mapping)}
    total: dict[str, OfModel] = {}
    for models in last.values():
        for name, told in models.items():
            if isinstance(told, Mapping):
                numbers = [told.get(key) for key in ("prompt_tokens", "completion_tokens", "engine_seconds")]
                read, written, seconds = (one if isinstance(one, int | float) else 0 for one in numbers)
                total[str(name)] = total.get(str(name), OfModel()) + OfModel(int(read), int(written), seconds)
    return total
