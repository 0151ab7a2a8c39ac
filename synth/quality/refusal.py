"""Responses that decline to do what was asked.

By their opening: a model that refuses does so in its first words, and one that answers may well use the same words
later. Each language has patterns of its own, over the verbs by which assistants decline.

What it does not know: refusals in other languages, refusals that begin with something else, and whether it was right
to refuse. An answer that opens with a refusal and goes on to help at length is kept, as its length tells. Where the
instruction asked for a refusal ("decline this invitation politely"), a good answer can be taken for one.
"""

import re
from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality.texts import columns_of, missing, texts
from synth.records import Record, Rejection

Language = Literal["en", "de", "fr", "es", "it", "pt", "zh", "ja", "ru"]

# A line each, `…` for some words of the same sentence. CANNOT and DO stand for the lists below.
_PATTERNS: dict[Language, str] = {
    "en": r"""
        \bi(?:['’]m| am)? (?:\w+ )?(?:sorry|afraid),? but (?:that )?i CANNOT\b
        \bi(?:['’]m| am)? (?:\w+ )?sorry,? (?:but )?(?:as|since) an? (?:ai|(?:large )?language)\b
        \bi ?(?:simply |really |just )?CANNOT (?:in good conscience |directly )?DO
        \bas an? (?:ai|artificial intelligence|(?:large )?language model)\b…\bi (?:CANNOT|don['’]t|do not|am not)\b
        \bi (?:must|have to|need to|will have to) (?:respectfully |politely )?(?:decline|refuse)\b
        \bi(?:['’]m| am) (?:not (?:comfortable|permitted|allowed|programmed)|prohibited)\b
        \b(?:that|this|it) (?:goes against|violates|is against) (?:my|the|openai['’]s) (?:\w+ )?(?:guidelines|polic)
    """,
    "de": r"""
        \b(?:tut mir (?:\w+ )?leid|entschuldigung|leider|bedaure)\b…\b(?:kann|darf|werde) ich\b…\b(?:nicht|kein\w*)\b
        \b(?:tut mir (?:\w+ )?leid|entschuldigung|leider|bedaure)\b…\bich (?:kann|darf|werde)\b…\b(?:nicht|kein\w*)\b
        \bich (?:kann|darf|werde)\b…\b(?:nicht|kein\w*)\b…\bDO\b
        \bals (?:eine? )?(?:ki|künstliche intelligenz|sprachmodell)\b…\b(?:nicht|kein\w*)\b
    """,
    "fr": r"""
        \b(?:désolée?|navrée?|regrette|crains)\b…\bje ne CANNOT\b
        \bje ne CANNOT (?:pas |malheureusement pas )?(?:vous |t['’])?DO
        \ben tant qu['’](?:une? )?(?:ia|intelligence artificielle|assistant|modèle)\b…\bne\b
    """,
    "es": r"""
        \b(?:lo siento|lamento|lamentablemente)\b…\bno CANNOT\b
        \bno CANNOT DO
        \bcomo (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje)\b…\bno\b
    """,
    "it": r"""
        \b(?:mi dispiace|spiacente|purtroppo)\b…\bnon CANNOT\b
        \bnon CANNOT DO
        \b(?:come|in quanto) (?:una? )?(?:ia|intelligenza artificiale|modello linguistico)\b…\bnon\b
    """,
    "pt": r"""
        \b(?:desculpe|sinto muito|lamento|infelizmente)\b…\bnão CANNOT\b
        \bnão CANNOT DO
        \bcomo (?:uma? )?(?:ia|inteligência artificial|modelo de linguagem)\b…\bnão\b
    """,
    "zh": r"""
        (?:抱歉|对不起|對不起|遗憾)…CANNOT
        我CANNOT(?:[为向给][你您])?DO
        作为(?:一个|一名|一款)?(?:人工智能|AI|语言模型)…(?:CANNOT|没有)
    """,
    "ja": r"""
        (?:申し訳|すみません|残念ながら|恐れ入りますが|ごめんなさい)…CANNOT
        (?:AI|人工知能|言語モデル)(?:として|なので|ですので)…(?:CANNOT|ありません)
    """,
    "ru": r"""
        \b(?:извините|простите|к сожалению|мне жаль|сожалею)\b…\bя не CANNOT\b
        \bя не CANNOT DO
        \bкак (?:ии|искусственн\w+ интеллект\w*|языков\w+ модел\w+)\b…\bне\b
    """,
}
_CANNOT: dict[Language, str] = {
    "en": "can(?:no|['’])t|can not|won['’]t|will not|(?:am|['’]m) (?:not able|unable) to",
    "fr": "peux|puis|suis pas en mesure",
    "es": "puedo|podré|me es posible|estoy en condiciones",
    "it": "posso|sono in grado",
    "pt": "posso|consigo|poderei",
    "zh": "无法|不能|無法|没办法|不可以",
    "ja": "できません|できかねます|いたしかねます|お断り",
    "ru": "могу|смогу|имею права",
}
_DO: dict[Language, str] = {
    "en": "help (?:you|with|to|in)|do (?:that|this)|assist|provide|fulfil|comply|create|generate|write|produce|offer"
    "|answer|respond|engage|support|participate|discuss|share|give|continue|complete|perform|access|browse|process",
    "de": "helfen|behilflich|unterstützen|bereitstellen|beantworten|erfüllen|nachkommen|schreiben|erstellen|geben",
    "fr": "aider|fournir|répondre|assister|créer|écrire|donner|satisfaire",
    "es": "ayudar|proporcionar|responder|cumplir|crear|generar|escribir|ofrecer|asistir|brindar|dar",
    "it": "aiutar|fornir|risponder|soddisf|creare|scrivere|generare|assister",
    "pt": "ajud|fornec|respond|cumpr|criar|gerar|escrev|oferec|atend",
    "zh": "提供|回答|协助|帮助|满足|完成|生成|協助|幫助",
    "ru": "помочь|предоставить|ответить|выполнить|создать|написать|дать",
}
LANGUAGES: tuple[Language, ...] = get_args(Language)


def _compiled(patterns: list[str]) -> list[str]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return patterns


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Refusal:
    """Rejects a record, as `refusal`, if a text in `column` opens with one.

    Looked at are the first `opening` characters of texts of at most `max_words` words, null for any; in `languages`,
    and for `patterns` of one's own, regular expressions whose case does not matter. Also: `no_COLUMN`.
    """

    column: str = "response"
    languages: list[Language] = field(default_factory=lambda: list(LANGUAGES))
    patterns: Annotated[list[str], AfterValidator(_compiled)] = field(default_factory=list)
    opening: Annotated[int, Field(ge=1)] = 200
    max_words: Annotated[int, Field(ge=1)] | None = 150

    columns: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        if not self.languages and not self.patterns:
            raise ValueError("languages, patterns: one of them is needed")

    @property
    def rejections(self) -> tuple[str, ...]:
        return ("refusal", missing(self.column))

    def needs(self) -> list[tuple[str, ...]]:
        return columns_of(self.column)

    def calls(self) -> list[Any]:
        return []

    def __call__(self, record: Record, llm: Any) -> Record:
        for text in texts(record, self.column):
            if self.max_words is not None and len(text.split()) > self.max_words:
                continue
            if found := self._pattern.search(" ".join(text[: self.opening].split())):
                raise Rejection("refusal", found[0])
        return record

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        shipped = [pattern for language in self.languages for pattern in _patterns(language)]
        return re.compile("|".join(f"(?:{one})" for one in [*shipped, *self.patterns]), re.IGNORECASE)


def _patterns(language: Language) -> list[str]:
    stands_for = {"…": r"[^.!?。！？]{0,60}?", "CANNOT": _CANNOT.get(language, ""), "DO": _DO.get(language, "")}
    lines = _PATTERNS[language].strip().splitlines()
    return [re.sub("…|CANNOT|DO", lambda match: f"(?:{stands_for[match[0]]})", line.strip()) for line in lines]
