"""Classification tasks: a question with a small set of labels, and inputs for each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import WORDS, Slots

_GOOD, _BAD = "great lovely perfect excellent wonderful".split(), "awful broken terrible useless disappointing".split()


@dataclass(frozen=True)
class Classification:
    """A task in words, and for each label a function that draws an input."""

    task: str
    inputs: dict[str, Callable[[Random], str]]


def draw(rng: Random) -> Classification:
    return rng.choice([_kind, _kind, _mood, _even, _urgent])(rng)


def exchange(rng: Random) -> Exchange:
    drawn = draw(rng)
    label = rng.choice(list(drawn.inputs))
    given = drawn.inputs[label](rng)
    question = rng.choice([f"{drawn.task} {given}", f"{drawn.task}\n{given}", f"{given}\n{drawn.task}"])
    return Exchange(question, label, "reasoning", inputs=(drawn.task, given, label), labels=tuple(drawn.inputs))


def _kind(rng: Random) -> Classification:
    labels = rng.sample(["animal", "food", "color", "profession", "place", "hobby"], rng.choice([2, 2, 3]))
    listed = ", ".join(labels[:-1]) + " or " + labels[-1]
    task = rng.choice([f"Classify this word as {listed}.", f"Say what this is, {listed}.", f"Is this {listed}?"])
    return Classification(task, {label: lambda rng, label=label: rng.choice(WORDS[label]) for label in labels})  # type: ignore[misc]


def _mood(rng: Random) -> Classification:
    def comment(words: list[str]) -> Callable[[Random], str]:
        def draw(rng: Random) -> str:
            return Slots(rng, judged=rng.choice(words)).choose(
                "The {noun} from {place} was {judged}.",
                "Our visit to the {site} was {judged}, said {name}.",
                "What {judged} {food}, I told the {profession}!",
            )

        return draw

    task = rng.choice(
        [
            "Is this comment positive or negative?",
            "Label the feeling of this review as positive or negative.",
            "Decide whether this opinion is positive or negative.",
        ]
    )
    return Classification(task, {"positive": comment(_GOOD), "negative": comment(_BAD)})


def _even(rng: Random) -> Classification:
    task = rng.choice(["Say whether this number is even or odd.", "Is this number even or odd?"])
    return Classification(
        task, {"even": lambda rng: str(2 * rng.randint(1, 499)), "odd": lambda rng: str(2 * rng.randint(0, 499) + 1)}
    )


def _urgent(rng: Random) -> Classification:
    task = rng.choice(["Is this message urgent or not urgent?", "Sort this message into urgent or not urgent."])
    return Classification(
        task,
        {
            "urgent": lambda rng: Slots(rng)("The {noun} in the {site} is broken, please come at once."),
            "not urgent": lambda rng: Slots(rng)("The {noun} in the {site} can be looked at on {weekday}."),
        },
    )
