"""Tasks on letters, words and short texts: reverse, count, sort, pick out, classify, summarise."""

from random import Random

from synth.demo_model.grammar import classify, prose
from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import SPELLED, WORDS, Slots, capital


def exchange(rng: Random) -> Exchange:
    return rng.choices([_one_word, _word_list, _sentence, classify.exchange, _passage], [5, 6, 3, 2, 4])[0](rng)


def _task(rng: Random, tasks: list[str], given: str, output: str) -> Exchange:
    """The task and its input as one question, joined in one of a few ways."""
    task = rng.choice(tasks)
    question = rng.choice([f"{task}: {given}", f"{task}:\n{given}", f"{given}\n{task}."])
    return Exchange(question, output, "editing", inputs=(f"{task}.", given, output))


def _one_word(rng: Random) -> Exchange:
    word = rng.choice(SPELLED)
    letter = rng.choice(word)
    count = word.count(letter)
    question, answer = rng.choice(
        [
            (f'Reverse the word "{word}".', f"{word} backwards is {word[::-1]}."),
            (f"Spell {word} backwards.", "-".join(reversed(word))),
            (f"How do you spell {word}?", "-".join(word)),
            (f'Write "{word}" in capital letters.', word.upper()),
            (f"How many letters has the word {word}?", f"{word} has {len(word)} letters: {'-'.join(word)}."),
            (
                f'How many times does the letter {letter} occur in "{word}"?',
                f"{'-'.join(word)}: the letter {letter} occurs {count} time{'s' * (count > 1)}.",
            ),
            (f"What are the first and the last letter of {word}?", f"{word[0]} and {word[-1]}"),
            (
                f"Which vowels are in {word}?",
                f"The vowels in {word} are: {', '.join(c for c in word if c in 'aeiou')}.",
            ),
        ]
    )

    def follow(rng: Random) -> Exchange:
        other = rng.choice(SPELLED)
        return Exchange(question.replace(word, other).replace("Reverse", "Now reverse"), *_same(question, word, other))

    easy = not question.startswith(("How many times", "Which", "What"))
    return Exchange(question, answer, "editing", follow=follow if easy else None)


def _same(question: str, word: str, other: str) -> tuple[str, str]:
    """The answer to the same question on another word, and its category."""
    if "Reverse" in question:
        return f"{other} backwards is {other[::-1]}.", "editing"
    if "backwards" in question:
        return "-".join(reversed(other)), "editing"
    if "capital" in question:
        return other.upper(), "editing"
    if "How many letters" in question:
        return f"{other} has {len(other)} letters: {'-'.join(other)}.", "editing"
    return "-".join(other), "editing"


def _word_list(rng: Random) -> Exchange:
    kind = rng.choice(["animal", "noun", "food", "color", "name", "place"])
    words = rng.sample(WORDS[kind], rng.choice([2, 3, 3, 4, 4, 5, 6]))
    given = ", ".join(words)
    tasks, output = rng.choice(
        [
            (["Sort these words by alphabet", "Put these words in alphabetical order"], ", ".join(sorted(words))),
            (["Give these words in reverse order", "Turn this list around"], ", ".join(reversed(words))),
            (["Take the first word of this list", "Name only the first of these"], words[0]),
            (["Take the last word of this list", "Name only the last of these"], words[-1]),
            (["Make a bulleted list of these words", "Write one word a line"], "\n".join(f"- {w}" for w in words)),
            (["Number these words", "Make a numbered list"], "\n".join(f"{i}. {w}" for i, w in enumerate(words, 1))),
            (["Count these words", "Say how many words are in this list"], str(len(words))),
            (["Join these words with plus signs", "Put a plus sign between the words"], " + ".join(words)),
            (["Write these as a JSON list", "Turn this into JSON"], str(words).replace("'", '"')),
        ]
    )
    return _task(rng, tasks, given, output)


def _sentence(rng: Random) -> Exchange:
    sentence = prose.sentence(Slots(rng), rng)
    words = sentence.rstrip(".").split()
    tasks, output = rng.choice(
        [
            (["Write this sentence in capital letters", "Put this in upper case"], sentence.upper()),
            (["Make a question of this sentence", "Turn this into a question"], f"Is it true that {sentence[:-1]}?"),
            (["Deny this sentence", "Say the opposite"], f"It is not true that {sentence}"),
            (["Give the last word of this sentence", "Pick out the last word"], words[-1]),
            (["Say how many words this sentence has", "Count the words"], str(len(words))),
            (["Quote this sentence", "Put this in quotation marks"], f'"{sentence}"'),
        ]
    )
    return _task(rng, tasks, sentence, output)


def _passage(rng: Random) -> Exchange:
    """A text of any length with a question that the text answers."""
    passage, key = prose.passage(rng)
    who, did, what = key
    question, output = rng.choice(
        [
            (f"Who {did} the {what}", f"{who} {did} the {what}."),
            (f"What did {who} do with the {what}", f"{who} {did} the {what}."),
            ("Sum up this text in one sentence", f"In short, {prose.lower(passage[0])}"),
            ("Give the first sentence of this text", passage[0]),
            ("Give the last sentence of this text", passage[-1]),
            ("Find a title for this text", f"{capital(who)} and the {capital(what)}"),
        ]
    )
    end = "?" if question[:2] in ("Wh",) else "."
    text = " ".join(passage)
    ask = rng.choice([f"{question}{end}\n\n{text}", f"{text}\n\n{question}{end}"])

    def follow(rng: Random) -> Exchange:
        again = rng.choice(
            [
                ("And how does the text begin?", passage[0]),
                ("How does it end?", passage[-1]),
                ("How many sentences are there?", str(len(passage))),
            ]
        )
        return Exchange(*again, "information")

    return Exchange(ask, output, "editing", follow=follow)
