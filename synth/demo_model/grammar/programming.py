"""Small programs: functions to write, output to predict, errors to find, in two languages."""

from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import Slots, long_tail

# what it does (of n or of a list), the Python expression, the JavaScript expression
_FUNCTIONS = (
    ("adds {n} to a number", "x + {n}", "x + {n}"),
    ("multiplies a number by {n}", "x * {n}", "x * {n}"),
    ("returns the first {n} items of a list", "x[:{n}]", "x.slice(0, {n})"),
    ("returns the last {n} items of a list", "x[-{n}:]", "x.slice(-{n})"),
    ("says whether a number is larger than {n}", "x > {n}", "x > {n}"),
    ("says whether a number can be divided by {n}", "x % {n} == 0", "x % {n} === 0"),
    ("counts the items of a list that equal {n}", "x.count({n})", "x.filter(y => y === {n}).length"),
    ("repeats a text {n} times", "x * {n}", "x.repeat({n})"),
    ("keeps the numbers of a list that are below {n}", "[y for y in x if y < {n}]", "x.filter(y => y < {n})"),
    ("adds {n} to each number of a list", "[y + {n} for y in x]", "x.map(y => y + {n})"),
    ("says whether a list has more than {n} items", "len(x) > {n}", "x.length > {n}"),
    ("splits a text at '{noun}'", "x.split('{noun}')", "x.split('{noun}')"),
    ("says whether a text contains '{noun}'", "'{noun}' in x", "x.includes('{noun}')"),
    ("puts '{noun}' before a text", "'{noun}' + x", "'{noun}' + x"),
    ("replaces '{noun}' with '{noun2}' in a text", "x.replace('{noun}', '{noun2}')", "x.replace('{noun}', '{noun2}')"),
)


def exchange(rng: Random) -> Exchange:
    return rng.choices([_write, _predict, _repair, _record, _design], [6, 3, 4, 2, 2])[0](rng)


def _function(language: str, name: str, body: str, note: str) -> str:
    if language == "Python":
        return f"```python\ndef {name}(x):\n    # {note}\n    return {body}\n```"
    return f"```javascript\nfunction {name}(x) {{\n  // {note}\n  return {body};\n}}\n```"


def _draw(rng: Random) -> tuple[str, str, str, str]:
    """What a function does, its name and its two bodies."""
    does, python, javascript = rng.choice(_FUNCTIONS)
    slots = Slots(rng, n=str(rng.randint(2, 40)))
    name = does.split()[0] + "_" + slots["noun3"].replace(" ", "_")
    return slots(does), name, slots(python), slots(javascript)


def _write(rng: Random) -> Exchange:
    does, name, python, javascript = _draw(rng)
    language = rng.choice(["Python", "Python", "JavaScript"])
    question = rng.choice(
        [
            f"Write a {language} function {name} that {does}.",
            f"I need a function in {language} that {does}. Call it {name}.",
            f"Show me {language} code for {name}, a function that {does}.",
            f"Define {name} in {language}. It {does}.",
        ]
    )
    bodies = {"Python": python, "JavaScript": javascript}
    answer = _function(language, name, bodies[language], does)
    other = "JavaScript" if language == "Python" else "Python"

    def follow(rng: Random) -> Exchange:
        if rng.random() < 0.5:
            return Exchange(f"And in {other}?", _function(other, name, bodies[other], does), "code")
        return Exchange(f"What does {name} do?", f"The function {name} {does}.", "code")

    return Exchange(question, answer, "code", follow=follow)


def _predict(rng: Random) -> Exchange:
    slots, n = Slots(rng), rng.randint(1, 5)
    word = slots["noun"].replace(" ", "")
    a, b = rng.randint(1, 30), rng.randint(1, 30)
    items = [slots[f"{rng.choice(['food', 'animal', 'color'])}{i}"] for i in range(rng.randint(2, 5))]
    code, output = rng.choice(
        [
            (f"print({a} + {b})", str(a + b)),
            (f"x = {a}\ny = {b}\nprint(x > y)", str(a > b)),
            (f"for i in range({n}):\n    print(i, '{word}')", "\n".join(f"{i} {word}" for i in range(n))),
            (f"print('{word}' * {n})", word * n),
            (f"print(len({items}))", str(len(items))),
            (f"x = {items}\nprint(x[0])", items[0]),
            (f"x = {items}\nprint(x[-1])", items[-1]),
            (f"for x in {items}:\n    print(x)", "\n".join(items)),
        ]
    )
    question = rng.choice(["What does this code print?", "Predict the output of this program.", "What is printed here?"])
    return Exchange(f"{question}\n```python\n{code}\n```", f"It prints:\n```\n{output}\n```", "code")


def _repair(rng: Random) -> Exchange:
    does, name, python, _ = _draw(rng)
    right = f"def {name}(x):\n    return {python}"
    wrong, why = rng.choice(
        [
            (right.replace("return", "retrun"), "The word return is misspelled."),
            (right.replace("):", ")"), "The colon after the head of the function is missing."),
            (right.replace("    return", "return"), "The body has to be indented."),
            (right.replace("return ", ""), "The result is never returned."),
            (right.replace("(x):", "():"), "The parameter x is missing."),
        ]
    )
    question = rng.choice(
        [f"This function {does}, but it fails. Why?", f"Fix this function, it {does}:", "What is wrong with this code?"]
    )
    answer = f"{why} Here is the corrected code:\n```python\n{right}\n```"

    def follow(rng: Random) -> Exchange:
        return Exchange("What does the function do?", f"It {does}.", "code")

    named = None if "What is wrong" in question else follow
    return Exchange(f"{question}\n```python\n{wrong}\n```", answer, "code", follow=named)


def _record(rng: Random) -> Exchange:
    """A class with some fields; more fields, longer code."""
    slots = Slots(rng)
    fields = [slots[f"noun{i}"].replace(" ", "_") for i in range(long_tail(rng, 1, 9, 1.2))]
    name = slots["made_up"]
    question = rng.choice(
        [
            f"Write a Python class {name} with the fields {', '.join(fields)}.",
            f"Define a class {name} in Python. Its fields are {', '.join(fields)}.",
        ]
    )
    head = f"class {name}:\n    def __init__(self, {', '.join(fields)}):\n"
    answer = f"```python\n{head}" + "\n".join(f"        self.{field} = {field}" for field in fields) + "\n```"

    def follow(rng: Random) -> Exchange:
        return Exchange(f"How many fields has {name}?", f"{name} has {len(fields)} fields.", "code")

    return Exchange(question, answer, "code", follow=follow)


def _design(rng: Random) -> Exchange:
    slots = Slots(rng)
    question, answer = rng.choice(
        [
            ("Should I keep my {noun}s in a list or in a set?",
             "Use a list if their order matters. Use a set if you often ask whether a {noun} is there, because that is faster."),
            ("Which data structure suits a queue of {profession}s waiting for a {noun}?",
             "A double-ended queue suits this. New {profession}s come in at one end, and the next one leaves at the other."),
            ("How do I find a {noun} by its {noun2} quickly?",
             "Keep a dictionary from {noun2} to {noun}. A look-up then takes the same time however many {noun}s there are."),
            ("How would you design a program for a {site} in {place}?",
             "Split it in three parts: one reads the data of the {site}, one does the work, and one shows the result."),
            ("Is a loop or recursion better to count {noun}s in nested {noun2}s?",
             "Recursion follows the nested {noun2}s and is easier to read. A loop with a stack uses less memory."),
        ]
    )  # fmt: skip
    return Exchange(slots(question), slots(answer), "code")
