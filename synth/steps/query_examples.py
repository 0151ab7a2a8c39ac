"""Texts with queries that users might send about them, and conversations with messages that may follow.

They are shown in the prompt for queries as earlier answers.
"""

from dataclasses import field

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.messages import as_line


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class QueryExample:
    """A text, and queries about it."""

    context: str
    queries: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.context.strip() or not self.queries or not all(query.strip() for query in self.queries):
            raise ValueError("an example needs a context and at least one query, none of them empty")


SHIPPED = (
    QueryExample(
        "Red pandas live in the forests of the eastern Himalaya. They eat bamboo for the most part, sleep in trees by "
        "day and are active at dusk. Fewer than ten thousand are thought to be left in the wild.",
        [
            "What do red pandas eat?",
            "Explain why a red panda is hard to see by day.",
            "Write a short poem about a red panda at dusk.",
            "Compare the red panda with the giant panda.",
            "How many red pandas are left in the wild?",
        ],
    ),
    QueryExample(
        "Members of the library may borrow up to eight books for four weeks. A book that nobody has reserved can be "
        "renewed twice. Each day that a book is late costs 20 cents.",
        [
            "How many books can I borrow from the library at once?",
            "Calculate the fee for a library book that is nine days late.",
            "Draft a friendly reminder for a library member whose books are due tomorrow.",
            "Can I renew a book that somebody else has reserved?",
            "Summarize a library's rules for borrowing in two sentences.",
        ],
    ),
)


def _conversation(asked: str, answered: str) -> str:
    return "\n".join([as_line({"role": "user", "content": asked}), as_line({"role": "assistant", "content": answered})])


FOLLOW_UPS = (
    QueryExample(
        _conversation(
            "How long do I have to boil an egg?",
            "Put it into boiling water. After six minutes the yolk is still soft, after nine minutes it is firm.",
        ),
        [
            "Does that change if the egg comes straight from the fridge?",
            "Turn this into a table for soft, medium and hard eggs.",
            "I live at 2,500 metres. How many minutes should I add?",
            "Why does the yolk turn green when it boils too long?",
            "Explain it to my son, who is eight and cooks his first egg.",
        ],
    ),
    QueryExample(
        _conversation(
            "Write two sentences for the website of my bicycle repair shop.",
            "At Corner Cycles we repair any bicycle within two days. Bring it by, and we tell you the price.",
        ),
        [
            "Make it sound less formal.",
            "Add that we lend out a bicycle while we work on theirs.",
            "Now translate it into Spanish.",
            "Is there anything that could be legally risky about the promise of two days?",
            "Give me three headlines that would fit above this text.",
        ],
    ),
)
