"""What the demonstration model's grammar has users and assistants say: seeds and contexts for the workloads."""

import random

from synth.demo_model.grammar import conversation


def said_first(role: str, count: int) -> list[str]:
    """The first words of a `role` in each of `count` conversations, the same at every call."""
    rng = random.Random(0)
    talks = [conversation(rng).messages for _ in range(count)]
    return [next(one["content"] for one in talk if one["role"] == role) for talk in talks]
