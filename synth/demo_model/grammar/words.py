"""The grammar's words, and `Slots`, which draws them into sentences.

Promises: the same random generator gives the same words; a slot named twice in one `Slots` is one word, and two
numbered slots of a kind are two different words.

Knows nothing of what the sentences are for.
"""

import re
from random import Random

WORDS: dict[str, list[str]] = {
    kind: [" ".join(word.split()) for word in text.split(",")] if "," in text else text.split()
    for kind, text in {
        "animal": """ant badger bat bear beaver bee camel cat cow crab crow deer dog dolphin donkey duck eagle elephant
            falcon ferret fox frog goat goose hamster hare hawk hedgehog heron horse lion lizard mole monkey moose
            mouse otter owl panda parrot pig pigeon rabbit rat raven seal shark sheep snail snake sparrow spider
            squirrel swan tiger toad turtle whale wolf""",
        "noun": """anchor apron bag basket bell belt bench bicycle blanket boat book bottle bowl box bridge broom brush
            bucket button cable camera candle cap card carpet chain chair clock coat coin comb compass cup curtain
            desk diary door drum engine envelope fence flag flute fork gate glove guitar hammer hat helmet jacket jar
            kettle key kite knife ladder lamp letter lock map mirror motor needle notebook oven paddle pan pen pencil
            piano pillow pipe plate pocket pump radio rope ruler saddle sail scarf shelf ship shoe shovel sign spoon
            stamp stove string table telescope tent ticket towel tower train trumpet umbrella vase violin wagon
            wallet wheel whistle window""",
        "food": """apple apricot banana bean beet bread butter cabbage cake carrot cheese cherry cookie corn cucumber
            egg fig garlic grape honey leek lemon lentil mango melon milk mushroom noodle nut olive onion orange pasta
            pea peach pear pepper pie plum potato pumpkin radish raisin rice salad salt soup spinach sugar tea tomato
            turnip walnut yogurt""",
        "name": """Ada Alma Amir Anna Arun Bela Boris Carla Cem Chen Clara Dana David Dora Elif Emil Emma Erik Farid
            Fatma Femi Finn Gita Grace Hana Hugo Ida Igor Ines Ivan Jana Jonas Julia Kai Karim Kofi Lara Lena Leo Lin
            Luca Maja Marco Maria Mei Mila Milo Nadia Nils Nora Olga Omar Oskar Paula Pedro Petra Rafi Rosa Ruth Sami
            Sara Sofia Sven Tara Theo Tomas Uma Vera Victor Wanda Yara Yusuf Zoe""",
        "place": """Accra Athens Bergen Berlin Bogota Boston Cairo Chicago Cork Cusco Dakar Delhi Dublin Geneva Genoa
            Ghent Hanoi Havana Helsinki Istanbul Jakarta Kyoto Lagos Lima Lisbon London Lyon Madrid Malmo Manila Milan
            Mumbai Nairobi Naples Osaka Oslo Paris Porto Prague Quito Rabat Riga Rome Seoul Split Sydney Tallinn Tokyo
            Toronto Tunis Turin Utrecht Vienna Vilnius Warsaw Zagreb Zurich""",
        "adj": """ancient blue bold brave bright broken calm careful cheap clean clever cold cosy curious dark dusty
            early empty fast fine foggy gentle golden grand green happy heavy hidden honest hungry kind large lazy
            little lonely long lost loud lucky modern muddy narrow neat new noisy old plain polite proud quick quiet
            rare red rich rough round rusty sad sharp shiny short shy silent simple sleepy slow small smart soft
            strange strong sunny sweet tall thin tidy tiny tired warm wet wide wild wise wooden yellow young""",
        "past": """borrowed bought built carried caught chased cleaned collected copied counted drew dropped examined
            fixed followed found forgot hid kept lifted lost measured moved noticed opened ordered packed painted
            photographed picked pulled pushed recognised remembered repaired sketched sold stole studied traded
            watched weighed wrapped""",
        "verb": """assemble borrow build carry choose clean collect decorate describe design draw examine fix hang
            hide label lift measure move open pack paint photograph polish protect recycle repair restore sell share
            sketch sort store transport wash weigh wrap""",
        "profession": """actor architect baker barber biologist builder butcher captain carpenter chemist chef clerk
            coach cook dancer dentist designer doctor driver editor engineer farmer fisher gardener geologist guide
            judge lawyer librarian mayor mechanic miner musician nurse painter pilot plumber poet potter reporter
            sailor scientist singer surgeon tailor teacher waiter weaver writer""",
        "color": "amber beige black blue brown crimson cyan gold gray green ivory lilac orange pink purple red silver "
        "teal violet white yellow",
        "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "season": "spring summer autumn winter",
        "month": "January February March April May June July August September October November December",
        "hobby": """archery, astronomy, badminton, baking, ballet, bird watching, bowling, calligraphy, camping, chess,
            climbing, cooking, crochet, cycling, dancing, diving, drawing, embroidery, fencing, fishing, gardening,
            golf, hiking, juggling, karate, kayaking, knitting, magic tricks, model trains, origami, painting,
            photography, poetry, pottery, puppetry, reading, rowing, running, sailing, sculpture, sewing, singing,
            skating, skiing, surfing, swimming, table tennis, woodwork, yoga""",
        "site": """airport attic bakery balcony barn beach bridge canal castle cave cellar church cinema clinic desert
            factory farm forest garage garden harbour hill hotel island kitchen lake library lighthouse market meadow
            mill mine mountain museum office orchard palace park port river school shop stable stadium station studio
            swamp theatre tunnel valley village vineyard workshop""",
        "feeling": "afraid amused angry ashamed bored calm cheerful confused excited glad grateful hopeful impatient "
        "jealous nervous pleased proud relieved sorry surprised tired upset worried",
        "weather": "clear cloudy cold dry foggy frosty hot humid icy mild rainy snowy stormy sunny warm windy",
        "manner": "carefully eagerly easily gladly gently happily loudly patiently politely proudly quickly quietly "
        "secretly slowly softly suddenly twice",
        "group": """bakers, beginners, campers, cat owners, children, commuters, cyclists, families, farmers, gardeners,
            grandparents, hikers, musicians, neighbours, nurses, parents, pilots, readers, runners, sailors, students,
            teachers, teenagers, tourists, travellers, volunteers""",
    }.items()
}

# Short words for puzzles on letters: few enough for a tiny model to learn by heart how each is spelled.
SPELLED = """ant apple arm baby bag ball bank bean bear bell bird boat bone book bowl box bread bus cake car cat clock
    coin corn cow cup desk dog door dream drum duck ear egg eye farm fire fish flag foot fork fox frog game garden goat
    gold green hand hat hill horse house ice ink iron jam key king kite lake lamp leaf lemon lion map milk moon mouse
    nest night nose note ocean onion oven owl paper park pear pen piano pig plate plum pond queen rabbit rain ring
    river road rock roof room root rope rose sail salt sand school sea seed sheep ship shoe shop snow soap sock song
    soup star stone storm street sugar summer sun table tea tent tiger tooth tower train tree truck village wall water
    whale wheel wind window winter wolf wood yard zebra""".split()

_ONSETS = "b br c d dr f fl g gl h j k kr l m n p pl qu r s sh st t th tr v w z".split()
_VOWELS = "a e i o u ai ea oo".split()
_CODAS = ["", "", "", "l", "m", "n", "r", "s", "x", "nd", "rk", "ss"]


def made_up(rng: Random) -> str:
    """A word that is in no list, so that a model has to copy it rather than know it."""
    syllables = (rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice([1, 2, 2, 3])))
    return "".join(syllables) + rng.choice(_CODAS)


def long_tail(rng: Random, low: int, high: int, steepness: float = 2.0) -> int:
    """A whole number from low to high, small ones far more often: the logarithm's power is uniform."""
    drawn: float = low * (high / low) ** (rng.random() ** steepness)
    return round(drawn)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class Slots:
    """Fills `{noun}`, `{noun2}`, `{made_up}`; `{Noun}` is `{noun}` with a capital; "a" becomes "an" where it must."""

    def __init__(self, rng: Random, **values: str):
        self._rng, self._values = rng, values

    def __call__(self, text: str) -> str:
        filled = re.sub(r"\{(\w+)\}", lambda slot: self[slot[1]], text)
        return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", filled)

    def __getitem__(self, name: str) -> str:
        if name[0].isupper():
            return capital(self[name[0].lower() + name[1:]])
        if name not in self._values:
            kind = name.rstrip("0123456789")
            while (word := self._draw(kind)) in self._values.values():
                pass
            self._values[name] = word
        return self._values[name]

    def choose(self, *texts: str) -> str:
        return self(self._rng.choice(texts))

    def _draw(self, kind: str) -> str:
        return capital(made_up(self._rng)) if kind == "made_up" else self._rng.choice(WORDS[kind])
