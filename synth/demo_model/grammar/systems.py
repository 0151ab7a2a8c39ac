"""System prompts, and which topics a user brings up under each. They come in many wordings, so that a model learns
to go by what they are about and not by their exact words."""

from random import Random

from synth.demo_model.grammar.words import Slots

_ABOUT = {
    "math": ("mathematics", "arithmetic", "school mathematics", "word problems", "proofs", "algebra and numbers", "calculation"),
    "code": ("programming", "debugging", "software design", "coding", "Python code", "computer science", "algorithms"),
    "translation": ("translation", "language learners", "foreign languages", "translating texts", "German, French and Spanish"),
    "reasoning": ("logical reasoning", "planning and common sense", "logic puzzles", "step by step reasoning", "riddles"),
}
_USERS = {
    "math": (
        "The user asks you questions about mathematics, and you solve them step by step.",
        "The user describes a situation from daily life with numbers in it and asks for a quantity, and you show each step of "
        "the calculation.",
        "The user states a theorem, and you prove it rigorously.",
        "Users want you to calculate. Show your work.",
        "You answer with numbers and short explanations.",
    ),
    "code": (
        "The user asks you to write code in a language of their choice, and you answer with working, commented code.",
        "The user shows you code with an error in it, and you find and correct the error.",
        "The user asks about algorithms, data structures and architecture, and you compare the choices.",
        "You write clean programs and explain errors.",
        "Answer with code in a code block.",
    ),
    "translation": (
        "The user gives you a text and names a language, and you translate the text into that language.",
        "The user asks how to say something in another language, and you translate it and explain the grammar.",
        "You translate what users send you.",
    ),
    "reasoning": (
        "The user gives you puzzles and questions that take several steps of thought, and you reason aloud before you answer.",
        "The user asks what follows from a situation, and you weigh each possibility before you answer.",
        "You think step by step and then give the answer.",
    ),
}
_HEADS = (
    "You are an AI assistant for {about}.",
    "You are an AI assistant for {about}, from easy questions to hard ones.",
    "You are an AI tutor for {about}.",
    "You are a helpful assistant that is good at {about}.",
    "You are {name}, an expert in {about}.",
    "You help {group} with {about}.",
)
_GENERAL = (
    "You are a helpful assistant.",
    "You are a helpful AI assistant. Answer truthfully.",
    "You are {name}, a friendly assistant.",
    "You are a {adj} assistant for {group}.",
    "Answer every question in a {adj} way.",
    "You work at a {site} in {place} and help visitors.",
    "You are a {profession} who answers questions.",
)
DOMAINS = tuple(_ABOUT)


def system_prompt(rng: Random, domain: str | None) -> str:
    """A system prompt for one of DOMAINS, or a general one."""
    if domain is None:
        return Slots(rng).choose(*_GENERAL)
    head = Slots(rng, about=rng.choice(_ABOUT[domain])).choose(*_HEADS)
    return head if rng.random() < 0.25 else f"{head} {rng.choice(_USERS[domain])}"
