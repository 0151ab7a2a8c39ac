"""Stories, letters, rhymes and slogans: where answers get long."""

from random import Random

from synth.demo_model.grammar import prose
from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import Slots, long_tail

_MIDDLE = (
    "{who} {past} a {adj} {noun}.",
    "Then {who} met a {animal} that was {feeling}.",
    "On {weekday} it was {weather}, and {who} stayed in the {site}.",
    "A {profession} from {place} asked for help.",
    "{who} went to the {site} and {past} the {noun}.",
    "Nobody knew where the {color} {noun} was.",
    "{who} shared some {food} with {name}.",
    "It was not easy, but {who} worked {manner}.",
    "At night {who} dreamed of {hobby}.",
)
_RHYMES = ("day:way", "night:light", "sea:tree", "sky:high", "rain:train", "snow:glow", "door:floor", "sun:fun")


def exchange(rng: Random) -> Exchange:
    return rng.choices([_story, _letter, _poem, _slogan, _sentences], [4, 4, 2, 2, 2])[0](rng)


def _story(rng: Random) -> Exchange:
    slots = Slots(rng)
    hero = slots.choose("{name}", "the {adj} {animal}", "the {profession}", "the {animal}")
    about = slots.choose(" in {place}", " who lost a {noun}", " and a {color} {noun}", " at the {site}", " on a {weekday}")
    question = slots(rng.choice(["Write a story about %s.", "Tell me a story about %s.", "Make up a tale of %s."]) % (hero + about))
    count = long_tail(rng, 2, 14, 1.2)
    if rng.random() < 0.4:
        count = rng.choice([2, 3, 4])
        question = question[:-1] + f" in {count + 2} sentences."
    elif rng.random() < 0.3:
        question += rng.choice([" Make it short.", " Keep it brief."])
        count = 1
    story = [f"Once there was {hero}{about}."]
    for _ in range(count):
        text = Slots(rng, who=hero)(rng.choice(_MIDDLE))
        story.append(text[:1].upper() + text[1:])
    ending = Slots(rng, who=hero)("In the end {who} was {feeling}.")
    story.append(ending)

    def follow(rng: Random) -> Exchange:
        return rng.choice(
            [
                Exchange("How did it end?", ending, "information"),
                Exchange("What is a good title?", f"A good title is: {hero[:1].upper() + hero[1:]}{about}", "writing"),
                Exchange("Go on for one sentence.", Slots(rng, name=hero)("The next day {name} was {feeling} again."), "writing"),
            ]
        )  # fmt: skip

    return Exchange(question, " ".join(story), "writing", follow=follow)


def _letter(rng: Random) -> Exchange:
    slots = Slots(rng)
    why = slots.choose(
        "the {adj} {noun} is broken",
        "the trip to {place} is on {weekday}",
        "the meeting moves to {weekday}",
        "{name2} likes {hobby}",
        "we need more {food} for the {site}",
        "the {animal} ran away from the {site}",
    )
    kind = rng.choice(["email", "letter", "note", "message"])
    to = slots.choose("{name}", "my {profession}", "{name}")
    question = rng.choice(
        [f"Write {'an' if kind == 'email' else 'a'} {kind} to {to}: {why}.", f"Help me tell {to} that {why}.",
         f"Draft {'an' if kind == 'email' else 'a'} {kind} for {to} saying that {why}."]
    )  # fmt: skip
    to = to.replace("my ", "")
    extra = [prose.sentence(Slots(rng), rng) for _ in range(long_tail(rng, 1, 12, 1.5) - 1)]
    lines = [f"Dear {to},", " ".join([f"I write because {why}.", *extra, slots("Please answer by {weekday2}.")])]
    return Exchange(question, "\n\n".join([*lines, f"Best wishes\n{Slots(rng)['name']}"]), "writing")


def _poem(rng: Random) -> Exchange:
    slots = Slots(rng)
    subject = slots.choose("a {adj} {animal}", "the {site} in {season}", "a {color} {noun}", "{place}", "{food}")
    question = rng.choice([f"Write a poem about {subject}.", f"Make a rhyme on {subject}.", f"I want a short poem about {subject}."])
    lines: list[str] = []
    for pair in rng.sample(_RHYMES, rng.choice([1, 2, 2, 3, 4])):
        first, second = pair.split(":")
        lines.append(slots(f"I think of {subject} by {first}," if not lines else f"{Slots(rng)('The {adj} {animal} waits by')} the {first},"))
        lines.append(f"{Slots(rng)('and {past} a {adj} {noun}')} on the {second}.")
    return Exchange(question, "\n".join(lines), "writing")


def _slogan(rng: Random) -> Exchange:
    slots = Slots(rng)
    what = slots.choose("{made_up}, a new {noun}", "a {adj} {noun} called {made_up}", "the {site} of {made_up}", "{made_up} {food}")
    kind = rng.choice(["slogan", "headline", "product name", "description", "motto"])
    question = f"{rng.choice(['Write', 'Think of', 'I need', 'Invent'])} a {kind} for {what}."
    answer = slots.choose(
        "{made_up}: {adj}, {adj2} and made for {group}.",
        "Nothing is as {adj} as {made_up}!",
        "{made_up}, because {group} know what is {adj}.",
    )
    if kind == "product name":
        answer = slots("{made_up} {adj}").title()
    return Exchange(question, answer, "writing")


def _sentences(rng: Random) -> Exchange:
    slots = Slots(rng)
    a, b = rng.choice([("noun", "animal"), ("name", "food"), ("profession", "color"), ("made_up", "site")])
    question = rng.choice([f"Write a sentence with the words {slots[a]} and {slots[b]}.", f"Use {slots[a]} and {slots[b]} in a sentence."])
    ends = {"animal": "saw a {animal}", "food": "ate some {food}", "color": "wore {color}", "site": "went to the {site}"}
    start = {"noun": "With the {noun} in hand {name}", "name": "{name}", "profession": "The {profession}", "made_up": "{made_up}"}
    return Exchange(question, slots(f"{start[a]} {ends[b]}."), "writing")
