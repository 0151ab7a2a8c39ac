"""Sentences and passages about nothing in particular, for questions about texts and for stories."""

from random import Random

from synth.demo_model.grammar.words import Slots, long_tail

_SENTENCES = (
    "The {adj} {animal} slept near the {site}.",
    "{name} {past} the {adj} {noun}.",
    "{name} {past} a {noun} in {place}.",
    "The {profession} from {place} {past} the {noun}.",
    "It was a {weather} {weekday} in {month}.",
    "A {color} {noun} stood in the {site}.",
    "{name} felt {feeling} because of the {noun}.",
    "The {profession} {manner} {past} the {adj} {noun}.",
    "Nobody in {place} had seen such a {adj} {animal}.",
    "The {noun} was {adj} and {adj2}.",
    "Every {weekday} the {animal} waited by the {site}.",
    "{name} gave {name2} the {color} {noun}.",
    "They ate {food} and {food2} at the {site}.",
    "In the {site} there was a {adj} smell of {food}.",
    "{name} talked about {hobby} all evening.",
    "A man called {made_up} sold {food} at the {site}.",
    "The {animal} and the {animal2} were {feeling}.",
    "The road to {place} was {adj} and {weather}.",
)


def sentence(slots: Slots, rng: Random) -> str:
    return slots(rng.choice(_SENTENCES))


def lower(text: str) -> str:
    """The sentence as it reads inside another one: `The` and the like lose their capital, names keep it."""
    first = text.split(" ", 1)[0]
    return text[:1].lower() + text[1:] if first in {"The", "It", "A", "An", "Every", "Nobody", "They", "In"} else text


def passage(rng: Random) -> tuple[list[str], tuple[str, str, str]]:
    """Two to twenty sentences and one thing that somebody did in them, as (who, did, what)."""
    sentences = [sentence(Slots(rng), rng) for _ in range(long_tail(rng, 2, 19, 1.5))]
    slots = Slots(rng)
    key = (slots["name"], slots["past"], f"{slots['adj']} {slots['noun']}")
    sentences.insert(rng.randrange(len(sentences) + 1), slots("{name} {past} the {adj} {noun}."))
    return sentences, key
