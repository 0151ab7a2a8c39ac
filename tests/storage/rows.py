"""Finished records for storage tests: the smallest that fill every contract column."""

from synth.records import Finished, Record


def kept(id: str, text: str = "words") -> Record:
    return {
        "id": id,
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "answer"}],
        "instruction": text,
        "response": "answer",
        "system_prompt": None,
        "strategy": "test",
        "model": "none",
        "seed": 7,
        "lineage": [{"step": "test", "text": text, "operation": None}],
        "usage": {"prompt_tokens": 3, "cached_tokens": 1, "completion_tokens": 5},
        "finish_reason": "stop",
    }


def rejected(id: str, reason: str = "empty_response") -> Record:
    return kept(id) | {"rejected_by": "test", "reason": reason, "detail": None}


def finished(number: int, rows: int = 1, rejections: int = 0) -> Finished:
    return Finished(
        number,
        kept=[kept(f"{number}/{n}") for n in range(rows)],
        rejected=[rejected(f"{number}/{rows + n}") for n in range(rejections)],
    )
