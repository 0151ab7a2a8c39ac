"""The constraints of a record: drawn for its instruction, stored as JSON texts, and checked on its answer.

synth/steps/constrain.py draws them; the verifier `Constraints` checks them. Their kinds are in rules.py.

Promises: constraints that are drawn together do not contradict each other. The same random numbers give the same
constraints in the same words.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.errors import reason
from synth.records import Needs, Record
from synth.verifiers import Verdict, answer_of
from synth.verifiers.rules import KINDS, LANGUAGES, Parameters


@plain_dataclass(frozen=True)
class Constraint:
    """A constraint of a `kind` in KINDS, with values for its parameters, such as `{"n": 50}`."""

    kind: str
    parameters: Parameters

    def worded(self, rng: random.Random) -> str:
        """The constraint as a sentence, in one of the wordings of its kind."""
        wording = rng.choice(list(KINDS[self.kind].wordings))
        shown = {name: _listed(value) if isinstance(value, list) else value for name, value in self.parameters.items()}
        return wording.format(**shown, language=LANGUAGES.get(str(self.parameters.get("code")), ""))

    async def holds(self, text: str) -> bool:
        """Whether the answer `text` satisfies it."""
        satisfied = KINDS[self.kind].check(text, self.parameters)
        return satisfied if isinstance(satisfied, bool) else await satisfied

    def as_text(self) -> str:
        """The constraint as JSON, such as `{"kind": "min_words", "n": 50}`."""
        return json.dumps({"kind": self.kind, **self.parameters}, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> "Constraint":
        """The constraint with this JSON. Raises ValueError if the kind is unknown, or if names or types of parameters
        differ from those that the kind draws."""
        given = json.loads(text)
        if not isinstance(given, dict) or given.get("kind") not in KINDS:
            raise ValueError(f"there is no such constraint: {text[:100]}")
        parameters = {name: value for name, value in given.items() if name != "kind"}
        drawn = KINDS[given["kind"]].draw(random.Random(0))
        if _types(parameters) != _types(drawn):
            raise ValueError(f"{given['kind']} takes {', '.join(drawn) or 'no parameters'}: {text[:100]}")
        return cls(given["kind"], parameters)


def draw_constraints(rng: random.Random, count: int, kinds: Sequence[str]) -> list[Constraint]:
    """Up to `count` constraints of different `kinds` without a common aspect; fewer if no more of them are
    compatible."""
    constraints: list[Constraint] = []
    aspects: set[str] = set()
    for name in rng.sample(list(kinds), len(kinds)):
        if len(constraints) < count and aspects.isdisjoint(KINDS[name].about):
            constraints.append(Constraint(name, KINDS[name].draw(rng)))
            aspects.update(KINDS[name].about)
    return constraints


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Constraints:
    """Passes if the answer satisfies all constraints in `column`, JSON texts such as `{"kind": "min_words", "n": 50}`.

    The score is the share of satisfied ones. An empty list is satisfied. An invalid constraint is an `error`. rules.py
    has the kinds.
    """

    column: str = "constraints"

    def needs(self) -> list[Needs]:
        return [{self.column: "texts"}]

    async def verify(self, record: Record) -> Verdict:
        given = record.get(self.column)
        given = [given] if isinstance(given, str) else given
        if given == []:
            return Verdict("passed", 1.0)
        if not isinstance(given, list):
            return Verdict("error", 0.0, f"no constraints in the column {self.column!r}")
        try:
            constraints = [Constraint.from_text(str(text)) for text in given]
            broken = [constraint for constraint in constraints if not await constraint.holds(answer_of(record))]
        except (ValueError, RecursionError) as error:
            return Verdict("error", 0.0, reason(error))
        score = 1 - len(broken) / len(constraints)
        if broken:
            return Verdict("failed", score, ", ".join(constraint.as_text() for constraint in broken))
        return Verdict("passed", 1.0)


def _types(parameters: Parameters) -> dict[str, set[type]]:
    """The type of each parameter; of a list, the types of its items."""
    return {
        name: set(map(type, value)) if isinstance(value, list) else {type(value)} for name, value in parameters.items()
    }


def _listed(words: Sequence[str]) -> str:
    """`"a"`, `"a" and "b"`, or `"a", "b" and "c"`, with the quotation marks."""
    quoted = [f'"{word}"' for word in words]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
