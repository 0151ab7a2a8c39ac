"""Use of the engines' KV caches, from metrics.jsonl."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synth.report.by_model import by_main

NOTICEABLE = 0.02  # share of recomputed tokens


@dataclass(frozen=True)
class Caches:
    """Of main's engines, over all processes of a run. `tokens` is the largest capacity of the caches, `used` their
    highest usage, `hits` the share of prompt tokens from the prefix cache; `again` is the share of tokens that were
    recomputed for `preempted` requests, and `in_forms` the share of engine-seconds spent on structured outputs."""

    tokens: int
    used: float
    hits: float
    preempted: int
    recomputed: int
    again: float
    in_forms: float

    @property
    def numbers(self) -> dict[str, str]:
        """Formatted numbers, without those that are zero."""
        numbers = {
            "KV cache": f"{self.tokens:,} tokens, at most {self.used:.0%} in use" if self.tokens else "",
            "prompts from the prefix cache": f"{self.hits:.0%}" if self.hits else "",
            "preempted": f"{self.preempted:,} requests, {self.recomputed:,} tokens recomputed"
            if self.preempted
            else "",
            "structured output": f"{self.in_forms:.0%} of the engines' time" if self.in_forms else "",
        }
        return {name: text for name, text in numbers.items() if text}


def caches(snapshots: Iterable[Mapping[str, Any]]) -> Caches:
    lines = list(snapshots)
    last = {line.get("started"): line for line in lines}.values()
    spent = by_main(lines)
    preempted, recomputed, formed = (sum(_number(snapshot, name) for snapshot in last) for name in _TOTALS)
    return Caches(
        tokens=int(max((_number(line, "cache_tokens") for line in lines), default=0)),
        used=max((_number(line, "cache_usage") for line in lines), default=0.0),
        hits=spent.cached_tokens / max(1, spent.prompt_tokens),
        preempted=int(preempted),
        recomputed=int(recomputed),
        again=recomputed / max(1.0, recomputed + spent.completion_tokens),
        in_forms=formed / spent.engine_seconds if spent.engine_seconds else 0.0,
    )


def preemption_note(found: Caches) -> str | None:
    """A line for the end of a run, if preemption cost noticeable time."""
    if found.again < NOTICEABLE:
        return None
    return (
        f"KV cache too small for the batch: {found.preempted:,} requests were preempted and "
        f"{found.again:.0%} of all tokens recomputed; see docs/gpu.md"
    )


_TOTALS = ("preempted", "recomputed", "form_seconds")


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
