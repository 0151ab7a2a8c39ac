"""Keeps texts in the languages that are wanted.

Languages are told by py3langid (Lui and Baldwin's langid.py, ACL 2012, retrained for 130 languages): its model is in
its package, so nothing is downloaded. benchmarks/filters.py has how it was chosen and how often it is wrong.

A short text is decided by odds, not by the likeliest language: two words fit a dozen languages about as well, and
"Explain quantum computing" a little better Latin than English. So a text is rejected only if another language is many
times likelier than all that are wanted, and a language that few people write to an assistant in has to be likelier
still. A long text is decided as ever, as odds grow with its length.

What it does not know: two or three words of a language near to a wanted one are kept. Code and formulas have no
language. Related languages (Norwegian and Danish, Serbian and Croatian) are easily taken for one another: name both.
"""

import re
from dataclasses import field
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.errors import nearest
from synth.quality.loaded import Loaded
from synth.quality.text_filter import TextFilter
from synth.quality.texts import beginnings, prose, texts, whole_lines
from synth.records import Record, Rejection

MOST_CHARACTERS = 2000  # of a text, which are enough to tell
RARE = 0.1  # how likely a rare language is before a text is read, beside a common or a wanted one

# What stands in quotation marks may be in any language: "What does 'je ne sais quoi' mean?"
_QUOTED = re.compile(r"""(?<!\w)"[^"\n]+"(?!\w)|“[^”\n]+”|«[^»\n]+»|„[^“”\n]+[“”]|(?<!\w)['‘][^'’\n]{2,}['’](?!\w)""")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Language(TextFilter):
    """Rejects a record, as `wrong_language`, if a text in `column` is in none of the languages of `among`.

    Languages are ISO 639-1 codes. A text is rejected if, of a wanted language and the likeliest other one, the wanted
    has a probability below `min_probability`. Fenced code and quotations are left out, and a text is kept whose first
    line, or what stands before a colon in it, is rather in a wanted language: a request may bring material in any.
    Fewer than `min_letters` letters are kept without a look. Also: `no_COLUMN`.
    """

    column: str = "instruction"
    among: Annotated[list[str], Field(min_length=1), BeforeValidator(as_list)] = field(default_factory=lambda: ["en"])
    min_probability: Annotated[float, Field(gt=0, le=1)] = 0.05
    min_letters: Annotated[int, Field(ge=1)] = 2

    reasons: ClassVar[tuple[str, ...]] = ("wrong_language",)

    def __post_init__(self) -> None:
        for code in self.among:
            if code not in CODES:
                raise ValueError(f"among: there is no language {code!r}{nearest(code, CODES)}")

    async def __call__(self, record: Record, llm: Any) -> Record:
        identifier = await _IDENTIFIER.get()
        for text in texts(record, self.column):
            if found := self._foreign(identifier, prose(text)):
                raise found
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """Of a text that is read no further, once a record has loaded the identifier."""
        if (identifier := _IDENTIFIER.there) is None:
            return None
        for text in beginnings(record, self.column):
            told = prose(whole_lines(text))
            if len(told) >= MOST_CHARACTERS and (found := self._foreign(identifier, told)):
                return found
        return None

    def _foreign(self, identifier: Any, text: str) -> Rejection | None:
        told = text[:MOST_CHARACTERS].strip()
        unquoted = _QUOTED.sub(" ", told).strip()
        told = unquoted if self._is_enough(unquoted) else told
        if not self._is_enough(told):
            return None
        probability, other = self._verdict(identifier, told)
        if probability >= self.min_probability:
            return None
        first = told.split("\n", 1)[0]
        requests = {first, first.split(":", 1)[0]} - {told}
        if any(self._is_enough(one) and self._verdict(identifier, one)[0] > 0.5 for one in requests):
            return None
        told_of = f"{self.column} is in {other}, with a probability of {1 - probability:.2f}"
        return Rejection("wrong_language", told_of)

    def _is_enough(self, text: str) -> bool:
        return sum(map(str.isalpha, text)) >= self.min_letters

    def _verdict(self, identifier: Any, text: str) -> tuple[float, str]:
        """The probability that it is in a wanted language rather than in the likeliest other one, and which that is."""
        shares = dict(identifier.rank(text))
        wanted = sum(share for code, share in shares.items() if code in self.among)
        others = {code: share * (1 if code in COMMON else RARE) for code, share in shares.items()}
        other = max(others.keys() - set(self.among), key=lambda code: (others[code], code))
        return float(wanted / (wanted + others[other])), other


@cache
def load_identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


_IDENTIFIER: Loaded[Any] = Loaded("the language identifier", load_identifier)

# Languages that nearly all pages of the web are in. The others are RARE.
COMMON = frozenset(
    "en de ja es fr ru pt it zh nl pl tr fa vi cs id ko uk hu sv ar ro el da fi he th no nb hi bn".split()
)

# Those of its languages that have a code of two letters.
CODES = frozenset(
    "af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl gu ha he hi hr ht "
    "hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn mr ms mt my ne nl nn no oc om or pa "
    "pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz vi vo wa xh yo "
    "zh zu".split()
)
