"""The project's own prompts, rendered from the files that steps render, each with an answer in the right form.

Promises: every template in `MAKERS` is one of synth/steps/prompts, and every answer has the form it asks for. The
answers follow simple rules of their own (a judged response that breaks off gets a 3, and so on): a demonstration
needs judgements of all kinds, not wise ones.
"""

import json
import re
from collections.abc import Callable
from random import Random

from synth.demo_model.grammar import classify, evolve, prose
from synth.demo_model.grammar.exchange import Exchange, Topic
from synth.demo_model.grammar.words import Slots, made_up
from synth.steps import prompts

Pair = tuple[str, str]


def pair(rng: Random, topic: Topic) -> tuple[str, Pair]:
    """A template's name, and a prompt made from it with an answer. Subjects come from `topic`."""
    name = rng.choice(list(MAKERS))
    return name, MAKERS[name](rng, topic)


def _exchange(rng: Random, topic: Topic) -> Exchange:
    """One exchange, sometimes evolved already, sometimes of words that nobody knows."""
    drawn = topic(rng)
    if rng.random() < 0.2:
        drawn = Exchange(_strange(rng), drawn.answer, "other")
    return evolve.evolved(rng, drawn) if rng.random() < 0.15 else drawn


def _strange(rng: Random) -> str:
    """An instruction that has to be copied letter by letter, as real ones will have to be."""
    words = [rng.choice([made_up(rng), made_up(rng), Slots(rng)["noun"], "of", "the", "and", "for", "with"]) for _ in range(rng.randint(2, 12))]  # fmt: skip
    start = rng.choice(["Describe", "Write about", "Give three facts on", "What is", "How can I improve", "Create", "Find"])
    return f"{start} {' '.join(words)}{'?' if start in ('What is', 'How can I improve') else '.'}"


def _one_line(rng: Random, topic: Topic) -> str:
    while len(text := _exchange(rng, topic).question) > 140 or "\n" in text:
        pass
    return text


def _growing(operation: str) -> Callable[[Random, Topic], Pair]:
    def make(rng: Random, topic: Topic) -> Pair:
        instruction = _exchange(rng, topic).question
        return prompts.render(operation, instruction=instruction), evolve.grow(rng, operation, instruction)[0]

    return make


def _breadth(rng: Random, topic: Topic) -> Pair:
    first = topic(rng)
    while (second := topic(rng)).category != first.category or second.question == first.question:
        pass
    return prompts.render("evolve_breadth", instruction=first.question), second.question


def _equal(rng: Random, topic: Topic) -> Pair:
    first = _exchange(rng, topic).question
    second, answer = rng.choice(
        [
            (first, "Equal. Both are the same in every word."),
            (f"Please {prose.lower(first)}", "Equal. The second only adds a polite word."),
            (f"{first} Thank you.", "Equal. The second only adds thanks."),
            (evolve.grow(rng, rng.choice(evolve.APPENDING), first)[0], "Not equal. The second asks for more."),
            (evolve.grow(rng, "evolve_complicate_input", first)[0], "Not equal. The second brings data."),
            (_exchange(rng, topic).question, "Not equal. They are about different things."),
        ]
    )
    return prompts.render("evolve_equal", first=first, second=second), answer


def _response(rng: Random, topic: Topic) -> Pair:
    drawn = _exchange(rng, topic)
    _, reply = evolve.grow(rng, rng.choice(["evolve_deepen", "evolve_concretize"]), "")
    given = rng.choice([drawn.answer, drawn.answer, _cut(drawn.answer)])
    better = f"{given}\n{reply}" if "\n" in given else f"{given} {reply}"
    return prompts.render("evolve_response", instruction=drawn.question, response=given), better


def _queries(rng: Random, topic: Topic) -> Pair:
    context = rng.choice([" ".join(prose.passage(rng)[0]), _strange(rng), topic(rng).answer, _exchange(rng, topic).question])
    words = [word for word in dict.fromkeys(re.findall(r"[A-Za-z]{4,}", context))] or ["this"]
    n = rng.choice([5, 5, 5, 1, 2, 3, 4, 6, 8, 10])
    application = Slots(rng).choose("AI assistant", "an AI assistant for {group}", "a chatbot of a {site}", "a helper for {hobby}")
    criteria = rng.sample(
        ["Use many different verbs and repeat none.", "Ask for things that a text generator can do.", "One or two sentences each.",
         "Each query stands on its own.", "Mix simple and hard ones.", "Stay polite."], rng.choice([0, 1, 2, 3, 4])
    )  # fmt: skip
    queries = []
    for _ in range(n):
        a, b = rng.choice(words), rng.choice(words)
        query = rng.choice(
            [f"What is known about {a}?", f"Explain why {a} matters.", f"How does {a} go together with {b}?",
             f"Describe {a} in a few words.", f"Name three things that have to do with {a}.", f"Where would one meet {a}?",
             f"Write a sentence with {a} and {b}.", f"Who needs {a}?"]
        )  # fmt: skip
        queries.append(query)
    joined = rng.choice([" ", "\n"]).join(criteria)
    prompt = prompts.render("self_instruct_queries", n=n, application=application, criteria=joined, context=context)
    return prompt, json.dumps({"queries": queries})


def _tasks(rng: Random, topic: Topic) -> Pair:
    tasks = [_one_line(rng, topic) for _ in range(rng.choice([8, 8, 8, 1, 2, 3, 4, 5, 6, 7]))]
    return prompts.render("self_instruct_tasks", n=len(tasks)), json.dumps({"tasks": tasks})


def _classify(rng: Random, topic: Topic) -> Pair:
    if rng.random() < 0.5:
        drawn, answer = classify.exchange(rng), "Yes"
    else:
        drawn = _exchange(rng, topic)
        answer = "Yes" if drawn.labels else "No"
    task = drawn.inputs[0] if drawn.inputs and rng.random() < 0.5 else drawn.question
    return prompts.render("self_instruct_classify", instruction=task), answer


def _input_first(rng: Random, topic: Topic) -> Pair:
    drawn = _exchange(rng, topic)
    task, given, output = drawn.inputs or (drawn.question, "(none)", drawn.answer)
    return prompts.render("self_instruct_input_first", instruction=task), f"Input: {given}\nOutput: {output}"


def _output_first(rng: Random, topic: Topic) -> Pair:
    drawn = classify.draw(rng)
    examples = [f"Class label: {label}\nInput: {make(rng)}" for label, make in drawn.inputs.items()]
    return prompts.render("self_instruct_output_first", instruction=drawn.task), "\n\n".join(examples)


def _cut(text: str) -> str:
    """The text broken off in the middle of a word or so."""
    return text[: max(1, len(text) * 2 // 3)].rstrip(" .?!")


def _judge(rng: Random, topic: Topic) -> Pair:
    drawn, other = _exchange(rng, topic), topic(rng)
    response, score, reason = rng.choice(
        [
            (drawn.answer, 5, f"It is a complete answer to a request for {drawn.category}."),
            (drawn.answer, 5, "It does what the instruction asks, clearly and in full."),
            (f"{drawn.answer} {prose.sentence(Slots(rng), rng)}", 4, "It answers, but ends with something off the subject."),
            (_cut(drawn.answer), 3, "It begins well but breaks off before the end."),
            (Slots(rng)("Maybe it is the {noun}, I am not sure."), 2, "It guesses and helps little."),
            (other.answer, 1, f"It has nothing to do with a request for {drawn.category}."),
        ]
    )
    answer = json.dumps({"reason": reason, "score": score})
    return prompts.render("judge", instruction=drawn.question, response=response), answer


def _tag(rng: Random, topic: Topic) -> Pair:
    drawn = _exchange(rng, topic)
    instruction, words = drawn.question, len(drawn.question.split())
    quality = "average" if words < 6 else "good" if words < 14 else "excellent"
    broken = rng.random()
    if broken < 0.08:
        instruction, quality = _cut(instruction), "poor"
    elif broken < 0.14:
        instruction, quality = " ".join(rng.sample(instruction.split(), words)), "very poor"
    steps = [25, 50, 110, 250]
    difficulty = prompts.LABELS["difficulty"][sum(len(instruction) > step for step in steps)]
    labels = {"category": drawn.category, "quality": quality, "difficulty": difficulty, "language": drawn.language}
    response = {"response": rng.choice([drawn.answer, None])} if rng.random() < 0.5 else {}
    return prompts.render("tag", instruction=instruction, labels=prompts.LABELS, **response), json.dumps(labels)


MAKERS: dict[str, Callable[[Random, Topic], Pair]] = {
    **{name: _growing(name) for name in (*evolve.APPENDING, "evolve_complicate_input")},
    "evolve_breadth": _breadth,
    "evolve_equal": _equal,
    "evolve_response": _response,
    "self_instruct_queries": _queries,
    "self_instruct_tasks": _tasks,
    "self_instruct_classify": _classify,
    "self_instruct_input_first": _input_first,
    "self_instruct_output_first": _output_first,
    "judge": _judge,
    "tag": _tag,
}
