"""Puzzles that are solved aloud: orders, syllogisms, days of the week, who has what."""

from itertools import pairwise
from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import WORDS, Slots, capital

_ORDERS = (("taller", "tallest", "shortest"), ("older", "oldest", "youngest"), ("faster", "fastest", "slowest"),
           ("richer", "richest", "poorest"), ("stronger", "strongest", "weakest"))  # fmt: skip


def exchange(rng: Random) -> Exchange:
    return rng.choices([_order, _all, _days, _who_has, _odd_one], [4, 3, 2, 3, 2])[0](rng)


def _order(rng: Random) -> Exchange:
    names = rng.sample(WORDS["name"], rng.choice([3, 3, 4, 4, 5, 6]))
    more, most, least = rng.choice(_ORDERS)
    facts = [f"{a} is {more} than {b}." for a, b in pairwise(names)]
    shown = rng.sample(facts, len(facts)) if rng.random() < 0.4 else facts
    first = rng.random() < 0.5
    question = f"{' '.join(shown)} Who is the {most if first else least}?"
    answer = f"From {most} to {least}: {', '.join(names)}. So {names[0] if first else names[-1]} is the {most if first else least}."

    def follow(rng: Random) -> Exchange:
        if rng.random() < 0.5:
            return Exchange(f"And who is the {least if first else most}?",
                            f"{names[-1] if first else names[0]} is the {least if first else most}.", "reasoning")  # fmt: skip
        return Exchange(f"Is {names[1]} {more} than {names[0]}?", f"No, {names[0]} is {more} than {names[1]}.", "reasoning")

    return Exchange(question, answer, "reasoning", follow=follow)


def _all(rng: Random) -> Exchange:
    slots = Slots(rng)
    follows = rng.random() < 0.5
    group, trait = slots.choose("{profession}s", "{animal}s in {place}", "{noun}s of the {site}"), slots["adj"]
    one = slots["name"] if "profession" in group or rng.random() < 0.5 else slots["made_up"]
    if follows:
        question = f"All {group} are {trait}. {one} is one of the {group}. Is {one} {trait}?"
        answer = f"{one} is one of the {group}, and all of them are {trait}. Yes, {one} is {trait}."
    else:
        question = f"All {group} are {trait}. {one} is {trait}. Must {one} be one of the {group}?"
        answer = f"Others may be {trait} too, not only {group}. No, that does not follow."
    return Exchange(question, answer, "reasoning")


def _days(rng: Random) -> Exchange:
    days = WORDS["weekday"]
    start, n = rng.randrange(7), rng.randint(1, 6)
    back = rng.random() < 0.3
    path = [days[(start + (-i if back else i)) % 7] for i in range(n + 1)]
    slots = Slots(rng)
    when = "ago" if back else "later"
    question = slots.choose(
        f"Today is {path[0]}. {{Name}} {{past}} a {{noun}} {n} days {when}. Which day is that?"
        if back
        else f"Today is {path[0]}. {{Name}} will {{verb}} a {{noun}} {n} days {when}. Which day is that?",
        f"It is {path[0]} in {{place}}. Which day is it {n} days {when}?",
    )
    return Exchange(question, f"Count from {path[0]}: {', '.join(path[1:])}. It is {path[-1]}.", "reasoning")


def _who_has(rng: Random) -> Exchange:
    n = rng.choice([2, 3, 3, 4, 5])
    names, kind = rng.sample(WORDS["name"], n), rng.choice(["noun", "animal", "food"])
    things = rng.sample(WORDS[kind], n)
    slots, wanted = Slots(rng), rng.randrange(n)
    verb = {"noun": "owns", "animal": "feeds", "food": "eats"}[kind]
    facts = [slots(f"{name} {verb} the {thing}.") for name, thing in zip(names, things, strict=True)]
    asks_who = rng.random() < 0.5
    end = f"Who {verb} the {things[wanted]}?" if asks_who else f"What does {names[wanted]} {verb[:-1]}?"
    answer = rng.choice(["The text says: ", ""]) + facts[wanted]
    question = f"{' '.join(facts)} {end}"
    task = ("Answer the question about the text.", question, facts[wanted])

    def follow(rng: Random) -> Exchange:
        other = rng.randrange(n)
        return Exchange(f"And {names[other]}?", facts[other], "reasoning")

    return Exchange(question, answer, "reasoning", follow=follow, inputs=task)


def _odd_one(rng: Random) -> Exchange:
    kind, other = rng.sample(["animal", "food", "color", "profession", "place", "weekday"], 2)
    odd = rng.choice(WORDS[other])
    words = rng.sample(WORDS[kind], 3)
    words.insert(rng.randrange(4), odd)
    question = rng.choice([f"Which one does not belong: {', '.join(words)}?", f"Find the odd one out: {', '.join(words)}"])
    many = {"animal": "animals", "food": "foods", "color": "colours", "profession": "jobs", "place": "cities",
            "weekday": "days"}[kind]  # fmt: skip
    return Exchange(question, f"{capital(odd)} does not belong, because the others are {many}.", "reasoning")
