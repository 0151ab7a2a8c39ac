"""Keeps texts in the wanted languages.

Languages are identified by py3langid (Lui and Baldwin's langid.py, ACL 2012, retrained for 130 languages). Its model is
in its package, so nothing is downloaded. benchmarks/filters.py has the comparison it was chosen by, and its error
rates.

Short texts are decided by odds, not by the likeliest language: two words fit a dozen languages equally well, and
"Explain quantum computing" fits Latin slightly better than English. So a text is rejected only if another language is
many times likelier than all wanted ones; a rare language has to be likelier still. For long texts this makes no
difference, as odds grow with length.

Limits: two or three words of a language close to a wanted one are kept. Code and formulas have no language. Related
languages (Norwegian and Danish, Serbian and Croatian) are easily confused: name both.
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

MOST_CHARACTERS = 2000  # of a text: enough to identify its language
RARE = 0.1  # prior of a rare language, relative to a common or wanted one

# Quotations may be in any language: "What does 'je ne sais quoi' mean?"
_QUOTED = re.compile(r"""(?<!\w)"[^"\n]+"(?!\w)|“[^”\n]+”|«[^»\n]+»|„[^“”\n]+[“”]|(?<!\w)['‘][^'’\n]{2,}['’](?!\w)""")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Language(TextFilter):
    """Rejects a record as `wrong_language` if a text in `column` is in none of the languages of `among`.

    Languages are ISO 639-1 codes. A text is rejected if the probability of the likeliest wanted language, against the
    likeliest other one, is below `min_probability`. Fenced code and quotations are left out, and a text is kept if its
    first line, or the part before a colon in it, is rather in a wanted language: a request may bring material in any.
    Texts with fewer than `min_letters` letters are kept unchecked. Also: `no_COLUMN`.
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
        """Of the beginning that is used for identification, once the identifier is loaded."""
        if (identifier := _IDENTIFIER.there) is None:
            return None
        for text in beginnings(record, self.column):
            sample = prose(whole_lines(text))
            if len(sample) >= MOST_CHARACTERS and (found := self._foreign(identifier, sample)):
                return found
        return None

    def _foreign(self, identifier: Any, text: str) -> Rejection | None:
        sample = text[:MOST_CHARACTERS].strip()
        unquoted = _QUOTED.sub(" ", sample).strip()
        sample = unquoted if self._is_enough(unquoted) else sample
        if not self._is_enough(sample):
            return None
        probability, other = self._verdict(identifier, sample)
        if probability >= self.min_probability:
            return None
        first = sample.split("\n", 1)[0]
        requests = {first, first.split(":", 1)[0]} - {sample}
        if any(self._is_enough(request) and self._verdict(identifier, request)[0] > 0.5 for request in requests):
            return None
        detail = f"{self.column} is in {other}, with a probability of {1 - probability:.2f}"
        return Rejection("wrong_language", detail)

    def _is_enough(self, text: str) -> bool:
        return sum(map(str.isalpha, text)) >= self.min_letters

    def _verdict(self, identifier: Any, text: str) -> tuple[float, str]:
        """The probability of the likeliest wanted language against the likeliest other one, and the latter."""
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

# The languages of nearly all web pages. All others are RARE.
COMMON = frozenset(
    "en de ja es fr ru pt it zh nl pl tr fa vi cs id ko uk hu sv ar ro el da fi he th no nb hi bn".split()
)

# The identifier's languages with a code of two letters.
CODES = frozenset(
    "af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl gu ha he hi hr ht "
    "hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn mr ms mt my ne nl nn no oc om or pa "
    "pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz vi vo wa xh yo "
    "zh zu".split()
)
