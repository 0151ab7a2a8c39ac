"""Checks whether an answer satisfies its record's constraints, which synth/steps/constrain.py draws."""

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from synth.errors import reason
from synth.records import Needs, Record
from synth.verifiers import Verdict, answer_of
from synth.verifiers.rules import Constraint


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
            constraints = [Constraint.from_text(str(one)) for one in given]
            broken = [one for one in constraints if not await one.holds(answer_of(record))]
        except (ValueError, RecursionError) as error:
            return Verdict("error", 0.0, reason(error))
        score = 1 - len(broken) / len(constraints)
        if broken:
            return Verdict("failed", score, ", ".join(one.as_text() for one in broken))
        return Verdict("passed", 1.0)
