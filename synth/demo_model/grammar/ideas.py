"""Lists, plans, advice and small talk: everyday requests with answers of any length."""

from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import WORDS, Slots, long_tail

_NUMBERS = ["", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_STEPS = (
    "Look at the {noun} from all sides.",
    "Clear a table in the {site}.",
    "Get a {noun2} and some {food}.",
    "Ask a {profession} if you are not sure.",
    "Start slowly and work {manner}.",
    "Take a break when you are tired.",
    "Check each part twice.",
    "Put everything back in its place.",
    "Let it rest until {weekday}.",
    "Show the result to {name}.",
    "Write down what went well.",
    "Wear something {adj} that may get dirty.",
    "Keep {animal}s and children away.",
    "Do not hurry the last step.",
)
_ITEMS = (
    "a {adj} {noun}",
    "a walk to the {site}",
    "an evening of {hobby}",
    "some {food} with {food2}",
    "a visit to a {profession}",
    "a {color} {noun} from {place}",
    "a song about a {animal}",
    "a letter to {name}",
)


def exchange(rng: Random) -> Exchange:
    return rng.choices([_names, _suggest, _how_to, _plan, _choose, _talk], [4, 5, 6, 4, 4, 1])[0](rng)


def _names(rng: Random) -> Exchange:
    kind = rng.choice(["animal", "food", "color", "profession", "hobby", "place", "noun"])
    what = {"animal": "animals", "food": "things to eat", "color": "colours", "profession": "jobs",
            "hobby": "hobbies", "place": "cities", "noun": "objects"}[kind]  # fmt: skip
    n = rng.randint(2, 10)
    slots = Slots(rng)
    limit = rng.choice(["", slots(" for a {profession}"), slots(" that {group} like"), slots(" for {name}")])
    limit = rng.choice([limit, slots(" from a book about {place}"), slots(" for a quiz in the {site}")])
    question = rng.choice(
        [
            f"Name {_NUMBERS[n]} {what}{limit}.",
            f"Give me a list of {n} {what}{limit}.",
            f"Can you list {_NUMBERS[n]} {what}{limit}?",
            f"I need {n} {what}{limit}.",
        ]
    )
    words = rng.sample(WORDS[kind], n)
    numbered = rng.random() < 0.5
    answer = "\n".join(f"{i}. {word}" if numbered else f"- {word}" for i, word in enumerate(words, 1))

    def follow(rng: Random) -> Exchange:
        more = rng.choice([word for word in WORDS[kind] if word not in words])
        return rng.choice(
            [
                Exchange("Which of these is the best?", f"I would choose {words[0]}.", "advice"),
                Exchange("One more, please.", f"Here is one more: {more}.", "brainstorming"),
                Exchange("What was the last one?", f"The last one was {words[-1]}.", "information"),
                Exchange("Put them on one line.", ", ".join(words), "editing"),
            ]
        )

    return Exchange(question, answer, "brainstorming", follow=follow)


def _suggest(rng: Random) -> Exchange:
    slots = Slots(rng)
    n = rng.randint(2, 8)
    question = slots.choose(
        f"Suggest {_NUMBERS[n]} gifts for a {{adj}} {{profession}}.",
        f"Give me {_NUMBERS[n]} ideas for a {{weather}} {{weekday}} in {{place}}.",
        f"What can {{group}} do in {{place}} in {{month}}? Give {n} ideas.",
        f"Think of {_NUMBERS[n]} prizes for a {{hobby}} contest in {{place}}.",
        f"List {n} surprises for my {{adj}} friend {{name}}.",
        f"I have a {{noun}} and a {{noun2}} and I am {{feeling}}. Give me {_NUMBERS[n]} ideas what to do.",
    )
    items = [Slots(rng)(rng.choice(_ITEMS)) for _ in range(n)]
    answer = "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))

    def follow(rng: Random) -> Exchange:
        i = rng.randrange(n)
        question = f"Tell me more about number {i + 1}."
        return Exchange(question, f"I thought of {items[i]} because it is simple and {Slots(rng)['adj']}.", "advice")

    return Exchange(question, answer, "brainstorming", follow=follow)


def _how_to(rng: Random) -> Exchange:
    slots = Slots(rng)
    goal = slots.choose(
        "{verb} a {adj} {noun}",
        "{verb} a {noun} from {place}",
        "cook {food} with {food2}",
        "learn {hobby} in {place}",
        "talk to a {feeling} {profession}",
        "keep a {animal} in a {site}",
        "{verb} the {noun} of a {profession}",
    )
    question = rng.choice(
        [
            f"How do I {goal}?",
            f"Explain how to {goal}.",
            f"What is the best way to {goal}?",
            f"Give me advice: I want to {goal}.",
            f"My plan is to {goal}. Where do I start?",
        ]
    )
    context = rng.sample(
        [
            "I have only {weekday} for it.",
            "I am a {profession}.",
            "It must be done before {month}.",
            "My friend {name} will help me.",
            "I live near a {site} in {place}.",
            "I feel {feeling} about it.",
        ],
        rng.choice([0, 0, 0, 1, 2]),
    )
    question = " ".join([question, *map(Slots(rng), context)])
    steps = [Slots(rng)(step) for step in rng.sample(_STEPS, min(len(_STEPS), long_tail(rng, 2, 14, 1.3)))]
    if rng.random() < 0.5:
        answer = f"To {goal}, follow these steps:\n" + "\n".join(f"{i}. {s}" for i, s in enumerate(steps, 1))
    else:
        answer = f"To {goal}, do this. " + " ".join(steps)

    def follow(rng: Random) -> Exchange:
        return rng.choice(
            [
                Exchange("What is the first step again?", steps[0], "information"),
                Exchange("And what comes last?", steps[-1], "information"),
                Exchange("How long will it take?", f"It will take about {rng.randint(2, 9)} hours.", "advice"),
            ]
        )

    return Exchange(question, answer, "advice", follow=follow)


def _plan(rng: Random) -> Exchange:
    slots, n = Slots(rng), rng.randint(1, 6)
    question = slots.choose(
        f"Plan a trip of {n} days to {{place}} for {{group}}.",
        f"Make a plan for {n} days of {{hobby}} in {{place}}.",
        f"I have {n} days to {{verb}} a {{adj}} {{noun}}. Make a plan.",
        f"Plan {n} days in a {{site}} with a {{adj}} {{animal}} for {{name}}.",
    )
    days = []
    for day in range(1, n + 1):
        first, second = (Slots(rng)(rng.choice(_ITEMS)) for _ in range(2))
        days.append(f"Day {day}: in the morning {first}, then {second}.")
    return Exchange(question, "\n".join(days), "planning")


def _choose(rng: Random) -> Exchange:
    slots = Slots(rng)
    question, answer = rng.choice(
        [
            ("Should I buy a {adj} {noun} or a {adj2} {noun2}?",
             "If you often {verb} things, buy the {adj} {noun}. For everything else the {noun2} is better."),
            ("I am {feeling} because my {noun} is {adj}. What should I do?",
             "Being {feeling} about a {adj} {noun} is normal. Talk to {name} about it and give it until {weekday}."),
            ("Is {hobby} or {hobby2} better for {group}?",
             "Both are fine. For {group} I would begin with {hobby}, because it needs less time."),
            ("My {animal} is {feeling}. Any advice?",
             "Give your {animal} a quiet place and some {food}. If it is still {feeling} on {weekday}, see a doctor."),
            ("What should a {profession} wear on a {weather} day in {place}?",
             "On a {weather} day in {place} a {profession} should wear a {color} hat and a {adj} coat."),
            ("Which {noun} would you choose for a {adj} {site}, the {color} one or the {color2} one?",
             "I would choose the {color} one, because it suits a {adj} {site}."),
        ]
    )  # fmt: skip
    return Exchange(slots(question), slots(answer), "advice")


def _talk(rng: Random) -> Exchange:
    slots = Slots(rng)
    question, answer = rng.choice(
        [
            ("Hello, I am {name} from {place}.", "Hello {name}! How can I help you?"),
            ("Good morning! It is {weather} in {place} today.", "Good morning! I hope {place} stays pleasant."),
            ("I like {hobby} and {food}.", "That sounds good. Have you tried {food} after {hobby}?"),
            ("Today I {past} a {noun}.", "Well done! What will you do with the {noun}?"),
        ]
    )  # fmt: skip
    return Exchange(slots(question), slots(answer), "other")
