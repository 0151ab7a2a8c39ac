"""Short facts, comparisons and explanations. The facts are few and true; the ways to ask for them are many."""

from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import WORDS, Slots

_CAPITALS = dict(
    pair.split(":")
    for pair in """Austria:Vienna Belgium:Brussels Canada:Ottawa Chile:Santiago China:Beijing Cuba:Havana Denmark:Copenhagen
    Egypt:Cairo Estonia:Tallinn Finland:Helsinki France:Paris Germany:Berlin Ghana:Accra Greece:Athens Hungary:Budapest
    Iceland:Reykjavik India:Delhi Indonesia:Jakarta Ireland:Dublin Italy:Rome Japan:Tokyo Kenya:Nairobi Latvia:Riga
    Mexico:Mexico Morocco:Rabat Norway:Oslo Peru:Lima Poland:Warsaw Portugal:Lisbon Romania:Bucharest Senegal:Dakar
    Spain:Madrid Sweden:Stockholm Tunisia:Tunis Turkey:Ankara Vietnam:Hanoi""".split()
)
_SIZES = "ant bee spider frog mouse rat crow rabbit cat fox dog sheep pig deer lion cow horse camel elephant whale".split()
_SUBJECTS = {
    "rain": "The sun warms the sea and water rises as vapour. High up the vapour cools and turns into clouds. Small drops "
    "join into large ones. When they are heavy enough they fall as rain.",
    "tides": "The moon pulls at the water of the sea. On the side near the moon the water rises. The earth turns, so the "
    "high water moves along the coast. That is why most coasts see two high tides a day.",
    "photosynthesis": "Plants take in light with their green leaves. They draw water from the soil and carbon dioxide from "
    "the air. With the energy of the light they turn both into sugar. Oxygen is left over and goes into the air.",
    "bread": "Flour, water, salt and yeast are mixed into a dough. The yeast eats sugar and makes gas. The gas fills the "
    "dough with bubbles, so it rises. In the oven the bubbles grow and the crust turns brown.",
    "batteries": "A battery holds two different metals and a liquid or paste between them. One metal gives away electrons. "
    "The electrons flow through the wire to the other metal. This flow lights the lamp until the metals are used up.",
    "the seasons": "The axis of the earth is tilted. For half of the year the north leans towards the sun and gets more "
    "light. That is summer in the north and winter in the south. Half a year later it is the other way round.",
    "sleep": "Sleep gives the body time to repair itself. The brain sorts what it saw in the day. Deep sleep and dreams take "
    "turns through the night. Too little sleep makes it hard to think and to remember.",
    "earthquakes": "The crust of the earth is made of large plates. The plates move a few centimetres a year. Where they "
    "rub, tension grows. When the rock breaks, the tension is freed and the ground shakes.",
    "inflation": "Inflation means that prices rise over time. The same money then buys less. It can start when there is "
    "more money than goods. Central banks raise interest rates to slow it down.",
    "magnets": "In a magnet many tiny regions point in the same direction. Together they make a field. The field pulls iron "
    "and pushes like poles apart. Heat or a hard knock can mix the regions up again.",
    "vaccines": "A vaccine shows the body a harmless part of a germ. The body learns to make defences against it. It "
    "remembers them for a long time. When the real germ comes, the defence is ready.",
    "rainbows": "Sunlight is a mix of all colours. A drop of rain bends the light when it enters. Each colour is bent by a "
    "different angle. The light comes back from the drop spread out, and we see a bow.",
    "honey": "Bees collect nectar from flowers. In the hive they pass it from bee to bee and thicken it. They fan it with "
    "their wings until most water is gone. Then they seal it with wax and keep it for winter.",
    "recycling": "Used material is collected and sorted. It is cleaned and broken into small pieces. The pieces are melted "
    "or pulped and made into something new. This saves energy and keeps waste out of the landscape.",
    "echoes": "Sound travels through air as a wave. When it meets a hard wall it bounces back. If the wall is far away, the "
    "sound returns late enough to be heard again. Soft walls swallow the sound.",
    "compost": "Leaves and kitchen scraps are piled up. Worms, fungi and bacteria eat them. The pile gets warm and shrinks. "
    "After some months it is dark earth that feeds plants.",
}
_AUDIENCES = (
    "a child",
    "a {profession}",
    "my class",
    "someone from {place}",
    "a group of {group}",
    "my friend {name}",
    "readers of a newspaper in {place}",
    "visitors of the {site}",
)
_WHY = (
    "is important for a {profession}",
    "matters to {group}",
    "should be taught in {place}",
    "fascinates {name}",
)


def exchange(rng: Random) -> Exchange:
    return rng.choices([_capital, _size, _explain, _tell, _between], [3, 3, 6, 3, 2])[0](rng)


def _capital(rng: Random) -> Exchange:
    country = rng.choice(list(_CAPITALS))
    city = _CAPITALS[country]
    country2 = rng.choice([other for other in _CAPITALS if other != country])
    question, answer = rng.choice(
        [
            (f"What is the capital of {country}?", f"The capital of {country} is {city}."),
            (f"Which country has {city} as its capital?", f"{city} is the capital of {country}."),
            (
                f"Name the capitals of {country} and {country2}.",
                f"{country}: {city}\n{country2}: {_CAPITALS[country2]}",
            ),
            (
                Slots(rng)(f"{{name}} is going from {{place}} to {country}. What is the capital there?"),
                f"The capital of {country} is {city}.",
            ),
            (
                f"Is {_CAPITALS[country2]} the capital of {country}?",
                f"No, the capital of {country} is {city}. {_CAPITALS[country2]} is the capital of {country2}.",
            ),
        ]
    )

    def follow(rng: Random) -> Exchange:
        other = rng.choice(list(_CAPITALS))
        return Exchange(f"And of {other}?", f"The capital of {other} is {_CAPITALS[other]}.", "information")

    return Exchange(question, answer, "information", follow=follow)


def _size(rng: Random) -> Exchange:
    a, b, c = rng.sample(_SIZES, 3)
    order = sorted([a, b, c], key=_SIZES.index)
    larger, smaller = (a, b) if _SIZES.index(a) > _SIZES.index(b) else (b, a)
    question, answer = rng.choice(
        [
            (f"Which is larger, a {a} or a {b}?", f"A {larger} is larger than a {smaller}."),
            (
                f"Is a {a} bigger than a {b}?",
                f"{'Yes' if a == larger else 'No'}, a {larger} is bigger than a {smaller}.",
            ),
            (f"Order these animals by size: {a}, {b}, {c}", f"From small to large: {', '.join(order)}."),
            (f"What is the smallest of {a}, {b} and {c}?", f"The smallest of the three is the {order[0]}."),
            (f"Would a {a} fit on the back of a {b}?", f"{'No' if a == larger else 'Yes'}, the {a} is "
             f"{'larger' if a == larger else 'smaller'}."),
        ]
    )  # fmt: skip
    fix = Slots(rng)
    return Exchange(fix(question), fix(answer), "information")


def _explain(rng: Random) -> Exchange:
    subject = rng.choice(list(_SUBJECTS))
    facts = [fact.rstrip(".") + "." for fact in _SUBJECTS[subject].split(". ")]
    slots = Slots(rng, subject=subject)
    ask = slots.choose(
        "Explain {subject} to %s.",
        "How would you explain {subject} to %s?",
        "I have to give a talk on {subject} to %s. What should I say?",
        "Write a short text about {subject} for %s.",
        "What should %s know about {subject}?",
    ) % slots(rng.choice(_AUDIENCES))
    count = 4
    if rng.random() < 0.5:
        count = rng.randint(1, 4)
        number = ["one sentence", "two sentences", "three sentences", "four sentences"][count - 1]
        ask += rng.choice([f" Use {number}.", f" Do it in {number}.", f" Keep it to {number}."])
    answer = " ".join(facts[:count])
    if count == 4 and rng.random() < 0.5:
        ask += rng.choice([" Make it a list.", " Use bullet points.", " Answer in bullet points."])
        answer = "\n".join(f"- {fact}" for fact in facts)

    def follow(rng: Random) -> Exchange:
        question, reply = rng.choice(
            [
                ("How does it begin?", facts[0]),
                ("And what happens in the end?", facts[-1]),
                ("Say it in one sentence.", f"In one sentence: {facts[0]}"),
                ("Can you put that into a list?", "\n".join(f"{i}. {fact}" for i, fact in enumerate(facts, 1))),
                ("Thanks! Is there more on it?", f"Yes, remember this about {subject}: {facts[2]}"),
            ]
        )
        return Exchange(question, reply, "information")

    return Exchange(ask, answer, "information", follow=follow)


def _tell(rng: Random) -> Exchange:
    """Open questions about made-up or everyday things: the answer has a fixed course and borrows the question's words."""
    slots = Slots(rng)
    question, answer = rng.choice(
        [
            ("What does a {profession} do with a {noun}?",
             "A {profession} may use a {noun} to {verb} things, and keeps it {adj} and ready for work."),
            ("Tell me about the town of {made_up}.",
             "I know nothing sure about {made_up}. Towns of this kind often have a {site}, a {site2} and a market on {weekday}."),
            ("What is the use of a {noun}?", "A {noun} is useful when you want to {verb} something {manner}."),
            ("Where can I find a {adj} {noun} in {place}?",
             "Try the shops near the {site} in {place}. Somebody there will sell you a {adj} {noun}."),
            ("Is {hobby} popular in {place}?",
             "Yes, many {group} in {place} enjoy {hobby}, above all in {season}."),
            ("Why are {animal}s so {adj}?",
             "Not all {animal}s are {adj}, but those that live near a {site} have good reason to be."),
            ("Who was {name} {made_up}?", "I know of nobody called {name} {made_up}, so I would rather not guess."),
        ]
    )  # fmt: skip
    why = rng.random() < 0.2
    ask = slots(f"Why do people say that {{hobby}} {rng.choice(_WHY)}?") if why else slots(question)
    reply = "Because {hobby} trains patience and brings people together, and {adj} days make it {adj2}."
    return Exchange(ask, slots(reply if why else answer), "information")


def _between(rng: Random) -> Exchange:
    kind = rng.choice(["animal", "noun", "food", "profession", "hobby"])
    a, b = rng.sample(WORDS[kind], 2)
    what = {"animal": "animals", "noun": "objects", "food": "foods", "profession": "jobs", "hobby": "hobbies"}[kind]
    question = rng.choice(
        [
            f"What do {a} and {b} have in common?",
            f"What is the difference between {a} and {b}?",
            f"Compare {a} and {b}.",
        ]
    )
    answer = f"Both {a} and {b} are {what}. They differ in their looks and in what they are good for."
    return Exchange(question, answer, "information")
