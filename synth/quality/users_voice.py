"""Detects an answer in the user's voice: it asks for help as a user does, or bears the user's name.

A letter that was asked for may do either. But no letter is signed with the name that it greets, and no answer to a
letter has the same sender and recipient.

Limits: English only.
"""

import re

from synth.quality.asking import TO_EDIT, TO_WRITE
from synth.quality.statement import addressee, signature
from synth.quality.texts import unquoted

ASKS_FOR_HELP = re.compile(
    r"\b(?:can|could|would|will) (?:you|someone|anyone) (?:please )?(?:help|assist) me\b[^.!?]{0,300}\?"
    r"|\bplease help me\b"
    r"|\b(?:can|could) you (?:please )?(?:suggest|recommend|provide|give|tell|explain)(?: to)? me\b(?! more| with more"
    r"| a (?:bit|little) more| some more| your| the (?:text|details))[^.!?]{0,300}\?",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(r"\b(?:I'm|I am|[Mm]y name is|[Mm]y name's) ([A-Z]\w+)")


def as_the_user(asked: str, answer: str) -> str | None:
    """The name by which an answer speaks as the user, or as whom it speaks to; None if it does not."""
    asked, answer = asked.replace("’", "'"), answer.replace("’", "'")
    signed, greeted = signature(answer), addressee(answer)
    if signed is not None and greeted is not None:
        same_letter = (signature(asked), addressee(asked)) == (signed, greeted)
        if same_letter or signed.split()[:1] == [greeted]:
            return signed
    if TO_WRITE.search(asked) or TO_EDIT.search(asked):
        return None
    users = {signature(asked), *_INTRODUCED.findall(asked)} - {None}
    mine = {signed, *_INTRODUCED.findall(unquoted(answer))}
    return next(iter(sorted(users & mine)), None)
