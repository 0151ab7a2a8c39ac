"""How an instruction grows under each evolve operation, and what its answer then adds."""

import json
from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import Slots

# operation: pairs of what the instruction gains and what the answer gains by it
_ADDITIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "evolve_constraints": (
        ("Use at most {n} words and avoid the word {noun}.", ""),
        ("Mention {place} somewhere in the answer and keep it under {n} words.", "This holds in {place} too."),
        ("Write it so that {group} can follow, in no more than {n} sentences.", ""),
        ("End with one question about a {noun}.", "What do you think of the {noun}?"),
        ("Give exactly {n} points and put the most important one first.", ""),
        ("Answer in a {adj} tone and leave out all {noun}s.", "That is the {adj} truth."),
    ),
    "evolve_deepen": (
        ("Also explain what causes this and how it affects {group}.", "It affects {group} because their time is short."),
        ("Go on to discuss where this fails and why a {profession} should care.", "A {profession} should care, because it fails when things get {adj}."),
        ("Discuss the long-term effects on a {site} in {place} as well.", "In the long run a {site} in {place} becomes {adj}."),
        ("Add what experts on {hobby} would object to and why.", "An expert on {hobby} would object that it is too {adj}."),
    ),
    "evolve_concretize": (
        ("Take the case of {name}, a {profession} from {place} with a {adj} {noun}.", "So it is for {name} from {place}."),
        ("Apply it to a {color} {noun} that stands in a {site} in {place}.", "The same goes for the {color} {noun}."),
        ("Assume it concerns {n} {adj} {animal}s in the {site} of {made_up}.", "This fits the {animal}s of {made_up}."),
        ("Use a {weather} {weekday} at the {site} of {place} as the example.", "On a {weather} {weekday} it is the same."),
    ),
    "evolve_reasoning": (
        ("Reason in {n} steps and say at each step what follows from the one before.", "Each step follows from the one before."),
        ("First list what is known, then what is missing, and only then conclude.", "Nothing else is needed to conclude."),
        ("Compare two ways to get there and justify which one is better.", "The other way is longer, so this one is better."),
        ("Check the result in a second way before you give it, and show both.", "A second check gives the same."),
    ),
}  # fmt: skip
APPENDING = tuple(_ADDITIONS)


def grow(rng: Random, operation: str, instruction: str) -> tuple[str, str]:
    """The new instruction, and a sentence that its answer gains (may be empty)."""
    slots = Slots(rng, n=str(rng.randint(2, 40)))
    if operation == "evolve_complicate_input":
        return f"{instruction}\n{_data(rng)}", ""
    addition, reply = rng.choice(_ADDITIONS[operation])
    joint = " " if instruction.endswith((".", "?", "!", ":")) else "\n" if instruction.endswith("`") else ". "
    return f"{instruction}{joint}{slots(addition)}", slots(reply)


def _data(rng: Random) -> str:
    slots = Slots(rng)
    rows = [(Slots(rng)["food"], rng.randint(1, 99)) for _ in range(rng.randint(2, 4))]
    table = "\n".join(["| item | count |", "| --- | --- |", *(f"| {item} | {count} |" for item, count in rows)])
    lead, data = rng.choice(
        [
            ("Use this table:", table),
            ("Base it on this JSON:", json.dumps({"name": slots["name"], "place": slots["place"], **dict(rows)})),
            ("Refer to this code:", f"```python\n{slots['noun']} = {dict(rows)}\nprint(len({slots['noun']}))\n```"),
        ]
    )
    return f"{lead}\n{data}"


def evolved(rng: Random, exchange: Exchange) -> Exchange:
    """The exchange after one or two rounds: users who ask for more and answers that give it."""
    question, answer = exchange.question, exchange.answer
    for _ in range(rng.choice([1, 1, 2])):
        question, reply = grow(rng, rng.choice([*APPENDING, "evolve_complicate_input"]), question)
        answer = f"{answer} {reply}".strip() if reply and not answer.endswith("```") else answer
    return Exchange(question, answer, exchange.category, exchange.language)
