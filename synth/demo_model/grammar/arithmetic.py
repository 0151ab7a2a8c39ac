"""Sums that a tiny model can learn: small numbers, one or two steps, word problems, sequences."""

from collections.abc import Callable
from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import Slots


def exchange(rng: Random) -> Exchange:
    kinds = [_operation, _word_problem, _chain, _sequence, _compare]
    return rng.choices(kinds, [7, 6, 3, 2, 2])[0](rng)


def _operation(rng: Random) -> Exchange:
    sign = rng.choice("++--*")
    a, b = (rng.randint(2, 12), rng.randint(2, 12)) if sign == "*" else (rng.randint(1, 99), rng.randint(1, 99))
    if sign == "-":
        a, b = max(a, b), min(a, b)
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    name = {"+": "plus", "-": "minus", "*": "times"}[sign]
    question = rng.choice(
        [
            f"What is {a} {sign} {b}?",
            f"{a} {sign} {b} = ?",
            f"How much is {a} {name} {b}?",
            f"Calculate {a} {name} {b}.",
            f"Please work out {a} {sign} {b} for me.",
            f"I need the result of {a} {name} {b}.",
            f"Compute {a} {sign} {b} and give only the number.",
        ]
    )
    answer = str(result) if "only" in question else f"{a} {sign} {b} = {result}."
    return Exchange(question, answer, "math", follow=_add_to(result))


def _add_to(value: int) -> Callable[[Random], Exchange]:
    """Follow-ups that need the number of the answer before."""

    def follow(rng: Random) -> Exchange:
        n = rng.randint(1, 9)
        if rng.random() < 0.3 and value <= 50:
            question, answer, result = "Now double it.", f"{value} + {value} = {value * 2}.", value * 2
        elif rng.random() < 0.5 or value < n:
            question = rng.choice([f"Now add {n}.", f"Add {n} to that.", f"And {n} more?"])
            result = value + n
            answer = f"{value} + {n} = {result}."
        else:
            question = rng.choice([f"Now take away {n}.", f"Subtract {n} from that.", f"And {n} less?"])
            result = value - n
            answer = f"{value} - {n} = {result}."
        return Exchange(question, answer, "math", follow=_add_to(result))

    return follow


def _word_problem(rng: Random) -> Exchange:
    a, b, c = rng.randint(2, 40), rng.randint(2, 30), rng.randint(2, 9)
    slots = Slots(rng, a=str(a), b=str(b), c=str(c), less=str(min(a, b)), more=str(max(a, b)))
    question, steps, result = rng.choice(
        [
            (
                "{name} has {a} {noun}s and buys {b} more. How many {noun}s does {name} have now?",
                "{name} has {a} {noun}s. With {b} more that is {a} + {b} = {r}. {name} has {r} {noun}s.",
                a + b,
            ),
            (
                "{name} had {more} {noun}s in {place} and sold {less} of them. How many are left?",
                "{name} had {more} {noun}s. Without {less} that is {more} - {less} = {r}. {r} {noun}s are left.",
                abs(a - b),
            ),
            (
                "There are {c} boxes in the {site}. Each box holds {a} {noun}s. How many {noun}s are there?",
                "There are {c} boxes with {a} {noun}s each: {c} * {a} = {r}. There are {r} {noun}s.",
                a * c,
            ),
            (
                "A {profession} works {c} hours a day for {a} days. How many hours is that in all?",
                "{c} hours on each of {a} days: {c} * {a} = {r}. It is {r} hours.",
                a * c,
            ),
            (
                "On {weekday} {name} saw {a} {animal}s and {name2} saw {b}. How many {animal}s did they see together?",
                "{name} saw {a} and {name2} saw {b}: {a} + {b} = {r}. Together they saw {r} {animal}s.",
                a + b,
            ),
        ]
    )
    slots = Slots(rng, **slots._values, r=str(result))
    ask = slots(question)
    if rng.random() < 0.25:
        ask += rng.choice([" Show your steps.", " Explain your reasoning.", " Please be brief."])
    return Exchange(ask, slots(steps), "math", follow=_add_to(result))


def _chain(rng: Random) -> Exchange:
    """A longer story of gains and losses: the answer goes step by step, so each step stays small."""
    slots = Slots(rng)
    total = rng.randint(5, 30)
    story, steps = [slots(f"{{name}} starts with {total} {{noun}}s.")], [f"Start: {total}."]
    for _ in range(rng.randint(2, 6)):
        n, up = rng.randint(1, 9), rng.random() < 0.5
        if not up and total < n:
            up = True
        place = Slots(rng)["site"]
        story.append(f"At the {place} {slots['name']} {'finds' if up else 'loses'} {n}.")
        steps.append(f"After the {place}: {total} {'+' if up else '-'} {n} = {total + n if up else total - n}.")
        total += n if up else -n
    story.append(slots("How many {noun}s does {name} have at the end?"))
    steps.append(slots(f"{{name}} ends with {total} {{noun}}s."))
    return Exchange(" ".join(story), "\n".join(steps), "math", follow=_add_to(total))


def _sequence(rng: Random) -> Exchange:
    start, step, n = rng.randint(1, 30), rng.randint(2, 9), rng.randint(3, 8)
    numbers = [start + step * i for i in range(n + 1)]
    shown = ", ".join(map(str, numbers[:-1]))
    question = rng.choice(
        [
            f"What comes next: {shown}?",
            f"Continue the sequence {shown} with one number.",
            f"Find the next number: {shown}, ...",
        ]
    )
    answer = f"Each number is {step} more than the one before, so the next one is {numbers[-1]}."
    return Exchange(question, answer, "math", follow=_add_to(numbers[-1]))


def _compare(rng: Random) -> Exchange:
    a, b = rng.sample(range(2, 300), 2)
    big = rng.random() < 0.5
    result = max(a, b) if big else min(a, b)
    word = "larger" if big else "smaller"
    question = rng.choice(
        [
            f"Which number is {word}, {a} or {b}?",
            f"Is {a} or {b} the {word} number?",
            f"Tell me the {word} of {a} and {b}.",
        ]
    )
    return Exchange(question, f"{result} is the {word} number.", "math", follow=_add_to(result))
