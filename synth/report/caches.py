"""What the KV caches of a run's engines held and cost, as metrics.jsonl tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synth.report.by_model import by_main
from synth.report.progress import TOLD_AGAIN


@dataclass(frozen=True)
class Caches:
    """Of main's engines, of all processes of a run together. `tokens` are what the caches held at the most, `used` the
    largest share of them that was in use, `hits` the share of prompts that came out of them; `again` is the share of
    tokens that were computed a second time, for `preempted` requests, and `in_forms` that of the engine-seconds that
    went into answers in a form."""

    tokens: int
    used: float
    hits: float
    preempted: int
    recomputed: int
    again: float
    in_forms: float

    @property
    def numbers(self) -> dict[str, str]:
        """For people, without what there is none of."""
        told = {
            "KV cache": f"{self.tokens:,} tokens, {self.used:.0%} of it in use at the most" if self.tokens else "",
            "prompts from the prefix cache": f"{self.hits:.0%}" if self.hits else "",
            "preempted": f"{self.preempted:,} requests, {self.recomputed:,} tokens computed again"
            if self.preempted
            else "",
            "answers in a form": f"{self.in_forms:.0%} of the engines' time" if self.in_forms else "",
        }
        return {name: text for name, text in told.items() if text}


def caches(snapshots: Iterable[Mapping[str, Any]]) -> Caches:
    lines = list(snapshots)
    last = {one.get("started"): one for one in lines}.values()
    spent = by_main(lines)
    preempted, recomputed, formed = (sum(_number(one, name) for one in last) for name in _TOTALS)
    return Caches(
        tokens=int(max((_number(one, "cache_tokens") for one in lines), default=0)),
        used=max((_number(one, "cache_usage") for one in lines), default=0.0),
        hits=spent.cached_tokens / max(1, spent.prompt_tokens),
        preempted=int(preempted),
        recomputed=int(recomputed),
        again=recomputed / max(1.0, recomputed + spent.completion_tokens),
        in_forms=formed / spent.engine_seconds if spent.engine_seconds else 0.0,
    )


def told_again(found: Caches) -> str | None:
    """A line for the end of a run, where it mattered."""
    if found.again < TOLD_AGAIN:
        return None
    return (
        f"the KV cache was too small for its batch: {found.preempted:,} times a request lost its place, and "
        f"{found.again:.0%} of all tokens were computed again (docs/gpu.md)"
    )


_TOTALS = ("preempted", "recomputed", "form_seconds")


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
