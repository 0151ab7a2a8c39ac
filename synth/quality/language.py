"""Keeps texts in the languages that are wanted.

Languages are told by py3langid (Lui and Baldwin's langid.py, ACL 2012, retrained for 130 languages): its model is in
its package, so nothing is downloaded.

What it does not know: a short text is a guess, and so is one that mixes languages; code and formulas have none.
Related languages (Norwegian and Danish, Serbian and Croatian) are easily taken for one another: name both.
"""

from dataclasses import field
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components import nearest
from synth.quality.loaded import Loaded
from synth.quality.texts import columns_of, missing, prose, texts
from synth.records import Record, Rejection

MOST_CHARACTERS = 2000  # of a text, which are enough to tell


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Language:
    """Rejects a record, as `wrong_language`, if a text in `column` is in none of the languages of `among`.

    Languages are ISO 639-1 codes. A text is kept if it has a probability of `min_probability` or more to be in one of
    them: rather low, because a short text's probability is spread over many. Text with fewer than `min_letters`
    letters, fenced code left out, is kept without a look. Also: `no_COLUMN`.
    """

    column: str = "instruction"
    among: Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list)] = field(default_factory=lambda: ["en"])
    min_probability: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_letters: Annotated[int, Field(ge=1)] = 20

    columns: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        for code in self.among:
            if code not in CODES:
                raise ValueError(f"among: there is no language {code!r}{nearest(code, CODES)}")

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("wrong_language", missing(self.column))

    def needs(self) -> list[tuple[str, ...]]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    async def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            told = prose(text)[:MOST_CHARACTERS]
            if sum(map(str.isalpha, told)) < self.min_letters:
                continue
            ranked = (await _IDENTIFIER.get()).rank(told)
            probability = sum(share for code, share in ranked if code in self.among)
            if probability < self.min_probability:
                code, share = ranked[0]
                raise Rejection("wrong_language", f"{self.column} is in {code}, with a probability of {share:.2f}")
        return record


@cache
def _load() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


_IDENTIFIER: Loaded[Any] = Loaded("the language identifier", _load)

# Those of its languages that have a code of two letters.
CODES = frozenset(
    "af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl gu ha he hi hr ht "
    "hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn mr ms mt my ne nl nn no oc om or pa "
    "pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz vi vo wa xh yo "
    "zh zu".split()
)
