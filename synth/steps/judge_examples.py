"""Example judgements, shown to the judge as earlier turns: what a reason is, and that scores differ.

Without them SmolLM2-135M gave the same score to 20 of 23 rows; with them, five different scores to 32 rows. It leans
towards the last example's score, which is therefore the middle of the scale.
"""

from typing import NamedTuple


class Example(NamedTuple):
    instruction: str
    response: str
    reason: str
    score: int


EXAMPLES = (
    Example(
        "Write a two-line poem about snow.",
        "I am a language model and like to help people with poems.",
        "There is no poem in it, only talk about poems.",
        1,
    ),
    Example(
        "How many minutes are in two hours?",
        "There are 120 minutes in two hours.",
        "The number is right, and nothing is missing.",
        5,
    ),
    Example(
        "Name three fruits that are red.",
        "Strawberries, cherries and bananas.",
        "Strawberries and cherries are red, but bananas are yellow, so a third of the list is wrong.",
        3,
    ),
)
