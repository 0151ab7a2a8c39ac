"""Examples of the prompts of grounded_qa, shown as earlier turns: questions by kind, answers, and verdicts.

Two subjects, so that a small model sees that a question, an answer and a verdict follow from the passage.
"""

from typing import NamedTuple

MILL = (
    "The tide mill at Carne was built in 1748. At high water its pond fills through a gate. When the sea has fallen by "
    "two metres, the miller opens the sluice, and the water drives the wheel for about five hours. Because the tide "
    "comes fifty minutes later each day, the miller often worked at night."
)
WHEEL = (
    "The wheel of the mill at Carne has forty paddles. They are of oak, as elm rots within three years where sea water "
    "dries on it. A paddle of oak lasts about nine."
)

NAMES = ("carne", "tide mill", "paddle", "miller", "sluice")  # of these examples: in other texts they are copies

QUESTIONS = {
    "factual": "In which year was the tide mill at Carne built?",
    "reason": "Why did the miller of the tide mill at Carne often work at night?",
    "procedure": "How is the tide mill at Carne set to work after high water?",
    "comparison": "How do the sea and the pond of the tide mill at Carne differ when the miller opens the sluice?",
    "summary": "Summarize how the tide mill at Carne takes its power from the sea.",
    "multi_hop": "Of which wood are the paddles that the water of the tide mill at Carne drives for about five hours?",
}


class Answered(NamedTuple):
    question: str
    answer: str


ANSWERS = (
    Answered(
        "Why did the miller of the tide mill at Carne often work at night?",
        "The tide comes fifty minutes later each day, so that the hours of work at the tide mill at Carne often fell "
        "into the night.",
    ),
    Answered("Who built the tide mill at Carne?", "NO ANSWER"),
)


class Verdict(NamedTuple):
    question: str
    answer: str
    given: str
    reason: str
    verdict: str


# A small model leans towards the last verdict, which therefore is the one that keeps the row.
CHECKS = (
    Verdict(
        "When was the tide mill at Carne built?",
        "It was built in 1748 by monks.",
        "",
        "The year is said, but nothing is said of monks.",
        "no",
    ),
    Verdict(
        "How long does the water drive the wheel of the tide mill at Carne?",
        "The water drives the wheel for about five hours.",
        "",
        "It is said that the water drives the wheel for about five hours, and that is what was asked.",
        "yes",
    ),
    Verdict(
        "When does the miller of the tide mill at Carne open the sluice?",
        "The miller opens it at high water.",
        "",
        "The miller opens it when the sea has fallen by two metres, and not at high water.",
        "no",
    ),
    Verdict(
        "How much later does the tide come each day at Carne?",
        "It comes fifty minutes later each day.",
        "",
        "Fifty minutes is what is said of the tide.",
        "yes",
    ),
)
SAME = (
    Verdict(
        "What drives the wheel of a tide mill?",
        "Water from the mill's pond drives the wheel.",
        "A tide mill stores water in a pond at high tide, and this water turns the wheel.",
        "Both say that water stored in a pond drives the wheel.",
        "yes",
    ),
    Verdict(
        "When was the tide mill at Carne built?",
        "The tide mill at Carne was built in 1748.",
        "It was probably built around 1820, like many mills.",
        "The known year is 1748, and the given one is 1820.",
        "no",
    ),
)
