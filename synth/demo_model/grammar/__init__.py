"""All the text the demonstration model is trained on: conversations drawn from a grammar, one file a topic.

Promises: `conversation` is a function of the random generator it is given, and of nothing else. User turns are as
varied as the grammar is, answers are right where the grammar can know it.

Knows nothing of tokens or of training.
"""

from dataclasses import dataclass
from random import Random

from synth.demo_model.grammar import (
    arithmetic,
    evolve,
    ideas,
    knowledge,
    languages,
    letters,
    logic,
    programming,
    prompted,
    systems,
    writing,
)
from synth.demo_model.grammar.exchange import Exchange, Topic

_WEIGHTS: dict[Topic, float] = {
    arithmetic.exchange: 16,
    letters.exchange: 16,
    knowledge.exchange: 14,
    ideas.exchange: 18,
    writing.exchange: 12,
    programming.exchange: 9,
    languages.exchange: 6,
    logic.exchange: 9,
}
_DOMAINS: dict[str, Topic] = {
    "math": arithmetic.exchange,
    "code": programming.exchange,
    "translation": languages.exchange,
    "reasoning": logic.exchange,
}
assert set(_DOMAINS) == set(systems.DOMAINS)

_PROMPTED, _SYSTEM, _DOMAIN = 0.25, 0.35, 0.75  # shares: of all; of the rest; of those with a system prompt
_TURNS, _TURN_WEIGHTS = (1, 2, 3, 4, 6, 10), (50, 25, 13, 7, 4, 1)


@dataclass(frozen=True)
class Conversation:
    """`template` names the prompt file that the user's turn was made from. Users in general do not speak in our
    prompts, so a model should learn such a conversation's answer and not its question."""

    messages: list[dict[str, str]]
    template: str | None = None


def conversation(rng: Random) -> Conversation:
    if rng.random() < _PROMPTED:
        name, (question, answer) = prompted.pair(rng, topic)
        return Conversation([_turn("user", question), _turn("assistant", answer)], name)

    messages: list[dict[str, str]] = []
    subject: Topic = topic
    if rng.random() < _SYSTEM:
        domain = rng.choice(systems.DOMAINS) if rng.random() < _DOMAIN else None
        messages.append(_turn("system", systems.system_prompt(rng, domain)))
        subject = _DOMAINS[domain] if domain else topic
    previous: Exchange | None = None
    for _ in range(rng.choices(_TURNS, _TURN_WEIGHTS)[0]):
        if previous and previous.follow and rng.random() < 0.8:
            previous = previous.follow(rng)
        else:
            previous = subject(rng)
            if rng.random() < 0.06:
                previous = evolve.evolved(rng, previous)
        messages += [_turn("user", previous.question), _turn("assistant", previous.answer)]
    return Conversation(messages)


def topic(rng: Random) -> Exchange:
    """One exchange on any topic."""
    return rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0](rng)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
