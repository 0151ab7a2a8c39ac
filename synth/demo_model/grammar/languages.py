"""Toy translation between English and three languages, and a few short questions asked in those languages."""

from random import Random

from synth.demo_model.grammar.exchange import Exchange
from synth.demo_model.grammar.words import Slots

_LANGUAGES = {"German": "de", "French": "fr", "Spanish": "es"}
# English noun: with its article in each language
_NOUNS = {
    row.split("|")[0]: dict(zip(_LANGUAGES, row.split("|")[1:], strict=True))
    for row in """dog|der Hund|le chien|el perro
cat|die Katze|le chat|el gato
horse|das Pferd|le cheval|el caballo
bird|der Vogel|l'oiseau|el pájaro
house|das Haus|la maison|la casa
book|das Buch|le livre|el libro
table|der Tisch|la table|la mesa
chair|der Stuhl|la chaise|la silla
key|der Schlüssel|la clé|la llave
window|das Fenster|la fenêtre|la ventana
apple|der Apfel|la pomme|la manzana
bread|das Brot|le pain|el pan
milk|die Milch|le lait|la leche
tree|der Baum|l'arbre|el árbol
child|das Kind|l'enfant|el niño
teacher|der Lehrer|le professeur|el profesor
car|das Auto|la voiture|el coche
train|der Zug|le train|el tren
river|der Fluss|la rivière|el río
garden|der Garten|le jardin|el jardín
letter|der Brief|la lettre|la carta
night|die Nacht|la nuit|la noche""".splitlines()
}
_STATES = {
    row.split("|")[0]: dict(zip(_LANGUAGES, row.split("|")[1:], strict=True))
    for row in """is here|ist hier|est ici|está aquí
is very useful|ist sehr nützlich|est très utile|es muy útil
is not there|ist nicht da|n'est pas là|no está allí
is in the house|ist im Haus|est dans la maison|está en la casa
is too far away|ist zu weit weg|est trop loin|está demasiado lejos
is free today|ist heute frei|est libre aujourd'hui|está libre hoy
costs ten euros|kostet zehn Euro|coûte dix euros|cuesta diez euros
was there yesterday|war gestern da|était là hier|estuvo allí ayer""".splitlines()
}
_AND = {"German": "und", "French": "et", "Spanish": "y"}


def exchange(rng: Random) -> Exchange:
    return rng.choices([_translate, _back, _word, _foreign], [6, 2, 2, 2])[0](rng)


def _sentence(rng: Random, parts: int) -> tuple[str, dict[str, str]]:
    """An English sentence and its translations."""
    english, foreign = [], []
    for _ in range(parts):
        noun, state = rng.choice(list(_NOUNS)), rng.choice(list(_STATES))
        english.append(f"the {noun} {state}")
        foreign.append({name: f"{_NOUNS[noun][name]} {_STATES[state][name]}" for name in _LANGUAGES})
    joined = {name: f" {_AND[name]} ".join(part[name] for part in foreign) for name in _LANGUAGES}
    return _finish(" and ".join(english)), {name: _finish(text) for name, text in joined.items()}


def _finish(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _translate(rng: Random) -> Exchange:
    english, foreign = _sentence(rng, rng.choice([1, 1, 1, 2, 2, 3]))
    language = rng.choice(list(_LANGUAGES))
    question = rng.choice(
        [
            f"Translate into {language}: {english}",
            f'How do you say "{english[:-1]}" in {language}?',
            f"{english} Say that in {language}.",
            f"Please translate this sentence into {language}:\n{english}",
        ]
    )
    other = rng.choice([name for name in _LANGUAGES if name != language])

    def follow(rng: Random) -> Exchange:
        return Exchange(f"And in {other}?", foreign[other], "translation")

    task = (f"Translate the sentence into {language}.", english, foreign[language])
    return Exchange(question, foreign[language], "translation", follow=follow, inputs=task)


def _back(rng: Random) -> Exchange:
    english, foreign = _sentence(rng, rng.choice([1, 1, 2]))
    language = rng.choice(list(_LANGUAGES))
    question = rng.choice(
        [
            f"Translate into English: {foreign[language]}",
            f'What does "{foreign[language]}" mean?',
            f"What is the English for this {language} sentence? {foreign[language]}",
        ]
    )
    return Exchange(question, english, "translation", inputs=("Translate into English.", foreign[language], english))


def _word(rng: Random) -> Exchange:
    nouns = rng.sample(list(_NOUNS), rng.choice([1, 2, 2, 3]))
    language = rng.choice(list(_LANGUAGES))
    listed = ", ".join(nouns)
    question = rng.choice(
        [f"What are these words in {language}: {listed}?", f"Teach me {language}: {listed}", f"{language} words for {listed}?"]
    )
    return Exchange(question, "\n".join(f"{noun}: {_NOUNS[noun][language]}" for noun in nouns), "translation")


def _foreign(rng: Random) -> Exchange:
    a, b = rng.randint(1, 40), rng.randint(1, 40)
    name, place = (slots := Slots(rng))["name"], slots["place"]
    noun = rng.choice(list(_NOUNS))
    language, question, answer, category = rng.choice(
        [
            ("de", f"Was ist {a} plus {b}?", f"{a} plus {b} ist {a + b}.", "math"),
            ("fr", f"Combien font {a} plus {b}?", f"{a} plus {b} font {a + b}.", "math"),
            ("es", f"¿Cuánto es {a} más {b}?", f"{a} más {b} es {a + b}.", "math"),
            ("de", f"Hallo, ich bin {name} aus {place}.", f"Hallo {name}, wie kann ich helfen?", "other"),
            ("fr", f"Bonjour, je suis {name} de {place}.", f"Bonjour {name}, comment puis-je vous aider ?", "other"),
            ("es", f"Hola, soy {name} de {place}.", f"Hola {name}, ¿en qué puedo ayudarte?", "other"),
            ("de", f"{name} fragt: Was heißt {_NOUNS[noun]['German']} auf Englisch?", f"the {noun}", "translation"),
            ("es", f"{name} pregunta: ¿Qué significa {_NOUNS[noun]['Spanish']}?", f"the {noun}", "translation"),
        ]
    )
    return Exchange(question, answer, category, language)
