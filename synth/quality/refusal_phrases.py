"""The phrases by which assistants decline, in nine languages, for synth/quality/refusal.py.

Each pattern is looked for in one sentence, whose apostrophes are straight. English has the words of small models too,
which name what they are made for ("as a chatbot designed to assist with ..., I don't have the capability to").
"""

import re
from typing import Literal, get_args

Language = Literal["en", "de", "fr", "es", "it", "pt", "zh", "ja", "ru"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

# A line each, `…` for some words of the same sentence. Capitals stand for the lists below.
_PATTERNS: dict[Language, str] = {
    "en": r"""
        \b(?:sorry|afraid|apologies|apologi[sz]e),? (?:but )?(?:that )?i (?:CANNOT|UNABLE|LACK)\b
        \b(?:sorry|apologi[sz]e),? (?:but )?(?:no\b|i don't know)
        \bSORRY\b…\bi (?:CANNOT (?:\w+ )?DO|UNABLE|LACK)\b
        \bSORRY\b…\bbut (?:that|this|it)(?:'s| is) (?:not something|beyond|outside)
        \bas an? IDENTITY\b…\bi(?: \w+)? (?:CANNOT|UNABLE|LACK|don't|do not|am not|have no)\b
        \bas an? IDENTITY\b…\bi'm not\b
        \bas an? IDENTITY\b…\bi(?:'m| am) (?:\w+ )?(?:unable|not able) to\b
        \bi(?:'m| am) (?:just |only |simply )?an? IDENTITY\b…\b(?:CANNOT|UNABLE|LACK|don't have)\b
        \bi(?:'m| am)? (?:\w+ )?UNABLE\b
        \bi(?:'m| am) (?:\w+ )?(?:designed|made|built|trained|programmed) (?:to|for)\b…, (?:and )?not (?:to|for)\b
        \bi(?:'m| am) not an? …\b(?:IDENTITY|able|capable of)\b
        \bi (?:\w+ )?LACK\b
        ^.{0,40}\bi ?(?:simply |really |just |certainly )?CANNOT (?:in good conscience |directly |currently )?DO
        ^.{0,40}\bi (?:must|have to|need to|will have to|would have to) (?:respectfully |politely )?(?:decline|refuse)\b
        \b(?:that|this|it) (?:goes against|violates|is against) (?:my|the|openai's) (?:\w+ )?(?:guideline|polic|program)
        \bmy (?:programming|guidelines|training) (?:do|does)(?: not|n't) (?:allow|permit|include)
    """,
    "de": r"""
        \b(?:tut mir (?:\w+ )?leid|entschuldigung|leider|bedaure)\b…\b(?:kann|darf|werde) ich\b…\b(?:nicht|kein\w*)\b
        \b(?:tut mir (?:\w+ )?leid|entschuldigung|leider|bedaure)\b…\bich (?:kann|darf|werde)\b…\b(?:nicht|kein\w*)\b
        \bich (?:kann|darf|werde)\b…\b(?:nicht|kein\w*)\b…\bDO\b
        \bals (?:eine? )?(?:ki|künstliche intelligenz|sprachmodell)\b…\b(?:nicht|kein\w*)\b
    """,
    "fr": r"""
        \b(?:désolée?|navrée?|regrette|crains)\b…\bje ne CANNOT\b
        \bje ne CANNOT (?:pas |malheureusement pas )?(?:vous |t')?DO
        \ben tant qu'(?:une? )?(?:ia|intelligence artificielle|assistant|modèle)\b…\bne\b
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
    "fr": "peux|puis|suis pas en mesure",
    "es": "puedo|podré|me es posible|estoy en condiciones",
    "it": "posso|sono in grado",
    "pt": "posso|consigo|poderei",
    "zh": "无法|不能|無法|没办法|不可以",
    "ja": "できません|できかねます|いたしかねます|お断り",
    "ru": "могу|смогу|имею права",
}
_DO: dict[Language, str] = {
    "fr": "aider|fournir|répondre|assister|créer|écrire|donner|satisfaire",
    "es": "ayudar|proporcionar|responder|cumplir|crear|generar|escribir|ofrecer|asistir|brindar|dar",
    "it": "aiutar|fornir|risponder|soddisf|creare|scrivere|generare|assister",
    "pt": "ajud|fornec|respond|cumpr|criar|gerar|escrev|oferec|atend",
    "zh": "提供|回答|协助|帮助|满足|完成|生成|協助|幫助",
    "ru": "помочь|предоставить|ответить|выполнить|создать|написать|дать",
}


def _any(lines: str) -> str:
    return "(?:" + "|".join(line.strip() for line in lines.strip().splitlines()) + ")"


_ENGLISH = {
    "SORRY": r"(?:sorry|afraid|apologi[sz]e|apologies|unfortunately|regret(?:fully)?)",
    "IDENTITY": _any(r"""
        (?:\S+ ){0,5}?(?:ai|a\.i\.|artificial intelligence|chatbot|language model|llm|computer program)
        (?:\S+ ){0,5}?(?:virtual|digital) assistant
        (?:\S+ ){0,5}?(?:assistant|bot|robot|machine)(?=,| (?:designed|created|developed|trained|built|and|i)\b)
    """),
    "UNABLE": _any(r"""
        (?:am |'m )?(?:(?:not )?currently |still |also )?(?:unable|not able) to DO
        (?:am |'m )?(?:(?:not )?currently )?(?:incapable|not capable) of
        (?:am |'m )?not (?:\w+ )?equipped (?:to|with|for)\b
        (?:am |'m )?not (?:\w+ )?(?:programmed|permitted|authori[sz]ed|designed|built|trained) to
        (?:am |'m )?(?:not allowed to DO|not comfortable|prohibited from)
        (?:don't|do not) feel comfortable
    """),
    "LACK": _any(r"""
        (?:currently )?(?:don't|do not) (?:\w+ )?have (?:the |any )?(?:\w+ )?(?:abilit|capabilit|capacity)\w* (?:to|of)
        (?:lack|have no) (?:the |any )?(?:ability|capability|capacity|means) (?:to|of|for)
        (?:don't|do not|lack|have no)(?: currently| actually)? (?:have )?(?:any |direct |immediate )*access to DATA
        (?:don't|do not) have (?:any )?(?:real-time|live|up-to-date) (?:data|information|access|updates)
    """),
    "DATA": r"(?:th(?:e|at|is) )?(?:internet|web|real|current|live|up-to-date|external|your|personal|specific|private|"
    r"information|data|any|recent|latest)",
    "CANNOT": r"(?:can(?:not|'t)|can not|(?:won't|will not)(?: be able to)?)",
    "DO": _any(r"""
        help (?:you|with|to|in|on)|do (?:that|this|so)|give (?!up|in\b)|recommend (?!this|it|them|him|her)
        assist|provide|fulfil|comply|create|generate|write|produce|offer|answer|respond|engage|support|participate
        discuss|share|continue|complete|perform|access|browse|process|translate|book|schedule|purchase|diagnose
        predict|search|open|view|delete|send|advise|make (?:phone|purchases|reservations|bookings|appointments)
    """),
}


def _words(text: str, lists: dict[str, str]) -> str:
    """The pattern with what its capitals stand for, which may hold others."""
    return re.sub("|".join(lists), lambda match: f"(?:{_words(lists[match[0]], lists)})", text)


def patterns(language: Language) -> list[str]:
    """Regular expressions for one sentence, in which case does not matter."""
    if language == "en":
        lists = {"…": ".{0,200}?", **_ENGLISH}
    else:
        lists = {"…": ".{0,60}?", "CANNOT": _CANNOT.get(language, ""), "DO": _DO.get(language, "")}
    return [_words(line.strip(), lists) for line in _PATTERNS[language].strip().splitlines()]


def _english(pattern: str) -> re.Pattern[str]:
    return re.compile(_words(pattern, {"…": ".{0,200}?", **_ENGLISH}), re.IGNORECASE)


# "I'm sorry for the confusion, but as a chatbot designed to help with X, I'm not equipped to".
APOLOGY_FOR_ITSELF = _english(r"\bSORRY\b…\bas an? …\bi(?:'m| am)? ?(?:CANNOT (?:\w+ )?DO|UNABLE|LACK|unable to)")

# What may as well begin an answer: a response that says little else declines.
SOFT = _english(
    _any(r"""
        \bi (?:don't|do not) have (?:\w+ ){0,3}?(?:information|knowledge|details|context|tools|expertise|authority)\b
        \bi (?:don't|do not) know (?:the answer|anything about|how to help|what you)\b
        \bi(?:'m| am) not (?:\w+ )?(?:qualified to|in a position to|familiar with|sure (?:if )?i can help)\b
        \bi (?:can|could) only (?:help|assist|answer|provide|discuss)\b
        \bi(?:'d rather| would rather| prefer| would prefer to) not (?:to )?(?:answer|discuss|say|talk|write)\b
        \b(?:CANNOT|wouldn't be able to) (?:see|view|hear|play|show) (?:\w+ )?(?:images?|music|songs?|videos?)\b
        \bi CANNOT (?:tell (?:you )?the (?:current |exact )?(?:time|date|weather)|make (?:a |that |this |the )?decision)
        \bi (?:won't be|wouldn't be able to) (?:DO|provid|writ|creat|generat|shar|discuss)
        \b(?:i|we) CANNOT replace an?\b|\bwe CANNOT (?:help|assist) (?:you|with)\b
        \b(?:outside|beyond) (?:of )?(?:my|the scope of (?:my|what i)) (?:\w+ ){0,2}?(?:expert|capab|abilit|scope|can)
        \b(?:not|isn't) (?:something i can|possible for me|appropriate for me|ethical for me)\b
        \bagainst my (?:\w+ )?(?:guideline|polic|program|princip|rules)
        \b(?:your|this|that) request (?:CANNOT|violates|is against|goes against)
        \bSORRY\b…\b(?:(?:is|was) no (?:\w+ )?information|not possible|not aware of any|(?:could not|couldn't) find)\b
        \bi(?:'m| am) (?:just |only )?an? IDENTITY\b…\b(?:not possible|impossible)\b
    """)
)

# What people have and a model has not, and what it can't know: no reason not to answer.
HUMAN = _english(
    r"\bi(?:'m| am)? ?(?:don't|do not|can't|cannot|lack|have no|haven't|am not|not)\b…\b"
    + _any(r"""
        (?:feel|feelings?|emotions?|opinions?|beliefs?|preferences?|favou?rites?|experiences?|memories|conscious\w*)\b
        (?:sentient|body|physical|senses?|tastes?|smell|hear|eat|sleep|dream|age|gender|family|friends|human)\b
        (?:a person|alive|real-time|live|current|up-to-date|internet)\b
    """)
)

# What is no answer: apologies, offers, thanks, what the assistant is, questions back, directions elsewhere.
EMPTY = _english(
    r"^\W*+(?:(?:however|but|that said|instead|still|so|and|therefore|also|for now|if so|please|hello|hi|great),?"
    r"|(?:sure|certainly|absolutely|of course|yes|okay)(?: thing)?[,!.]*)?\W*+"
    + _any(r"""
        $|i(?:'m| am)(?: always| still| just| so| very| really)? SERVING\b
        i(?:'m| am) (?:not )?(?:an?|here to)\b
        i(?:'d| would| will|'ll) (?:be|love|do my best)\b
        i (?:apologi[sz]e|understand|appreciate|hope|must|need more)\b
        i can (?:(?:certainly|definitely|still|also|only|try to) )*(?:assist|help|support|guide)\b
        i can (?:(?:certainly|definitely|still|also|only|try to) )*(?:offer|provide|suggest|give)\b
        i(?:'ll| will)? need (?:to know )?(?:some |a \w+ )?more\b
        (?:this|that|it|these) (?:\w+ )?(?:will|would|can) (?:help|allow|enable) me\b
        to (?:get started|begin|help you)[^,]*, i(?:'ll| will)? need\b|once (?:you|i)\b.*\bi(?:'ll| can| will)\b
        whether (?:it's|you)\b.*\bi(?:'m| can|'d|'ll)\b
        if (?:you|there)\b|(?:just )?let me know|feel free|share|tell me|give me|send me|thank
        please\b|sorry|my apologies
        how (?:can|may) i|what(?:'s| would| can| do| is)\b[^?]*\?|(?:is|are) there|(?:can|could|would|do) you
        you (?:can|may|could|might|should) (?:want to |try to |also |try )?ELSEWHERE
        i(?:'d| would)? (?:recommend|suggest|advise|encourage)(?: that)?(?: you)?(?: to)? ELSEWHERE
        (?:it|this|that)(?:'s| is) (?:always )?(?:best|important|essential|crucial|recommended) to (?:respect|ELSEWHERE)
    """)
    .replace("SERVING", "(?:here|happy|glad|available|designed|sorry|excited|ready|more than)")
    .replace("ELSEWHERE", r"(?:contact|consult|check|reach|visit|speak|seek|ask|look|refer)\w*")
)
