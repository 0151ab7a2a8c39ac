"""Messages that persons might write to an assistant, shown in the prompt for a simulated user as earlier answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from synth.messages import Message


@dataclass(frozen=True)
class Example:
    """A user with a goal, a conversation so far, and their next message."""

    persona: str | None
    goal: str | None
    turns: Sequence[Message]
    message: str


def _talk(*texts: str) -> list[Message]:
    return [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]


EXAMPLES = (
    Example(
        "a lorry driver who keeps parrots",
        "work with percentages, rates or interest",
        [],
        "My diesel went from 1.58 to 1.72 a litre. By how many percent is that?",
    ),
    Example(
        "a baker who closes at noon",
        "plan a day or a week",
        [],
        "I get home at one and have to be asleep by eight. Plan an afternoon with a nap, an hour of running, and "
        "dinner with my daughter, who is back from school at four.",
    ),
    Example(
        "a student of nursing who plays the tuba",
        "explain why something happens",
        _talk(
            "Why can too much oxygen make a patient with chronic lung disease breathe less?",
            "In some of these patients the drive to breathe depends on low oxygen. Much oxygen removes that drive, "
            "and sends more blood to parts of the lung that have little air.",
        ),
        "So how much oxygen would a nurse aim for in such a patient?",
    ),
    Example(
        "a caretaker of a theatre",
        "write a letter or an e-mail",
        _talk(
            "Write to the school that rents our stage on Thursdays. They left tape on the floor again.",
            "Dear all, thank you for your lively rehearsals. We found tape on the stage floor again. Please remove it "
            "before you leave. Kind regards",
        ),
        "Good, but it also has to say that a lamp is missing and must be back by Monday.",
    ),
)
