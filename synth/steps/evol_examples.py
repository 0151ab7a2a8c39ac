"""An example of each Evol-Instruct operation, shown to the model as an earlier turn.

A model that has seen a rewriting less often answers instead of rewriting: of 18 instructions, SmolLM2-135M rewrote 3
without an example and 9 with one (docs/evol_instruct.md). The examples have different subjects, so that none is taken
for the topic.
"""

EXAMPLES: dict[str, tuple[str, str]] = {
    "constraints": (
        "Plan a birthday party.",
        "Plan a birthday party for twelve children in a small flat, with a budget of eighty euros and no sweets.",
    ),
    "deepen": (
        "How do glaciers move?",
        "How do glaciers move, what makes some of them surge after decades of rest, and where do the models of their "
        "flow fail?",
    ),
    "concretize": (
        "Write a letter to a neighbour about noise.",
        "Write a letter to Mr. Okafor, who lives above a bakery in Lisbon, about the drums his son plays after ten "
        "at night.",
    ),
    "reasoning": (
        "Which bicycle should I buy?",
        "Which bicycle should I buy for a hilly commute of nine kilometres: first weigh gears against weight, then the "
        "cost of repairs, and only then choose?",
    ),
    "complicate_input": (
        "Find the cheapest day to travel.",
        "Find the cheapest day to travel there and back within three days.\n\nday | there | back\nMon | 40 | 55\n"
        "Tue | 35 | 60\nWed | 50 | 20\nThu | 45 | 25",
    ),
    "breadth": (
        "Explain how honeybees find flowers.",
        "Explain how dung beetles keep a straight line by the light of the Milky Way.",
    ),
}
