"""An engine that reads: it answers the prompts of grounded_qa by a few rules, for whole runs without a model.

Its documents say `NAME has NUMBER THINGS.`, a sentence about each name.
"""

import functools
import json
import re
from dataclasses import replace

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.engines.simulated import Simulated
from synth.models.model import Model

SENTENCE = re.compile(r"(\w+) has (\d+) (\w+)\.")
KNOWN = "Everybody"  # whose numbers the engine knows without a passage


@functools.cache
def tokenizer():
    return Model(path="demo").load_tokenizer()


@dataclass(kw_only=True, config=ConfigDict(extra="forbid"))
class Reader(Simulated):
    async def generate(self, prompt, sampling, watch=None):
        answer = await super().generate(prompt, sampling)
        turn = tokenizer().decode(prompt).rpartition("user\n")[2]  # the examples are earlier turns
        text = answered(turn, sampling.seed or 0)
        ids = tokenizer().encode(text, add_special_tokens=False)
        return replace(answer, token_ids=ids, text=text, finish_reason="stop")


def answered(turn, seed):
    facts = SENTENCE.findall(turn)
    if "Write one question" in turn:
        name, _, things = facts[seed % len(facts)]
        return json.dumps({"question": f"How many {things} has {name}?"})
    if "Answer the question" in turn:
        asked = re.search(r"How many (\w+) has (\w+)\?", turn)
        found = [number for name, number, things in facts if (things, name) == asked.groups()]
        return f"{asked[2]} has {found[0]} {asked[1]}." if found else "NO ANSWER"
    if "Is all that this answer says" in turn:
        *said, (name, number, things) = facts
        return verdict((name, number, things) in said)
    if "Does the given answer" in turn:
        return verdict(facts[0][1] in turn.rpartition("Given answer:")[2])
    asked = re.search(r"How many (\w+) has (\w+)\?", turn)
    return f"{asked[2]} has 7 {asked[1]}." if asked and asked[2] == KNOWN else "I can't know."


def verdict(yes):
    return json.dumps({"reason": "So it is said." if yes else "Another is said.", "verdict": "yes" if yes else "no"})
