"""Detects whether a text asks for something: a question, a request, a wish, a stated problem. Answers mostly don't.

Also whether it asks for an edit (`TO_EDIT`), for words that may be anybody's (`TO_WRITE`), or for words that may offer
help (`TO_SPEAK`).

Limits: English only; texts in other languages count as asking. List items are left out: an answer may be a list of
imperatives ("1. Choose a pot.").
"""

import re

VERBS = frozenset(
    """add advise analyse analyze answer apply argue arrange ask assess assign brainstorm break build calculate
    categorize change check choose cite clarify classify combine come compare compile complete compose compute
    conduct construct continue contrast convert correct count craft create criticize critique debug deduce
    define demonstrate derive describe design detect determine develop devise diagnose differentiate discuss
    distinguish divide draft draw edit elaborate eliminate enumerate estimate evaluate examine expand explain
    explore express extract fill find fix follow form formulate gather generate give guess highlight identify
    illustrate imagine implement improve include infer insert interpret introduce invent investigate join judge
    justify label list make match measure mention modify multiply name number offer optimize order organize
    outline paraphrase parse pick plan point predict prepare present produce propose prove provide put rank rate
    read recommend recount reduce refactor relate remove rename reorder rephrase replace report research restate
    reverse review revise rewrite rhyme round say select send separate sequence share shorten show simplify
    simulate sketch solve sort specify spell split state subtract suggest sum summarise summarize tell test
    think trace transform translate turn use validate verify visualize write""".split()
)
BEFORE_VERB = frozenset("please kindly you to me us and then now also just first next finally let's so".split())

TO_EDIT = re.compile(  # in any form: "edited", "a revision of"
    r"\b(?:correct|fix|proofread|edit|rewrit|rephras|paraphras|improv|format|reformat|translat|convert|chang|replac|remov"
    r"|insert|complet|continu|punctuat|capitali[sz]|highlight|classif|label|sort|arrang|reorder|shorten|simplif"
    r"|summari[sz]|polish|revis|expand|clean)\w{0,4}\b|\b(?:add|fill)(?:ed|ing|s)?\b",
    re.IGNORECASE,
)
# Material that is only mentioned, as in "Which questions could I ask?", is not to be written.
_MAKE = (
    r"\b(?:creat|generat|mak|giv|suggest|provid|prepar|produc|design|develop|need|want|send|answer|repl(?:y|ie)|respond"
    r"|continu|complet|simulat|show|list|come up|think of|help me with"
)
_MESSAGE = (
    r"e-?mail|letter|message|conversation|chat|script|transcript|interview|prompt|question|post|tweet|story|speech"
)
_SPEAK = r"\b(?:role|pretend|act as|play|dialogue?|rewrite|rephrase|paraphrase|translate)\b"
TO_WRITE = re.compile(
    rf"\b(?:write|draft|compose)\b|{_SPEAK}|{_MAKE})\w*\b[^.!?\n]{{0,60}}?\b(?:{_MESSAGE})s?\b", re.IGNORECASE
)
# Words of which an offer of help may be one.
TO_SPEAK = re.compile(
    rf"{_SPEAK}|{_MAKE}|write|writing|draft|compos)\w*\b[^.!?\n]{{0,60}}?"
    rf"\b(?:{_MESSAGE}|greeting|introduction|reply|sentence|statement|slogan|bio|profile)s?\b",
    re.IGNORECASE,
)

_QUESTION = re.compile(r"[?？؟]")
_ORDERS = VERBS | frozenset(
    "act be debate decide ensure help incorporate invite keep limit mark narrate play play-act plot pretend print "
    "quantify recall recite reply respond retell review reword role-play roleplay sing state study teach walk weigh "
    "work".split()
)
# A text that begins so may ask without a question mark.
_OPENS = re.compile(
    r"""\W*(?:(?:what|who|whose|whom|which|where|when|why|how|can|could|would|will|should|do|does|did|is|are)\b
    |(?:given|suppose|assume)\b|you(?:'re|\sare)\s(?:an?|the|given|tasked|asked)\b|true\sor\sfalse\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKING = frozenset("what who which where why how".split())
_AUXILIARIES = [[word] for word in "am are is was were do does did can could should would will".split()]
_BEFORE_ORDER = BEFORE_VERB - {"to", "you", "me", "us", "let's"}  # "To begin, ..." and "Let's look at ..." explain
_PERSONS = [["i"], ["you"], ["we"], ["someone"], ["anyone"]]
_WISH = re.compile(
    r"\b(?:please|help me|tell me|give me|show me|teach me|(?:i|we)(?:'d| would) like|(?:i|we) (?:want|need)"
    r"|(?:i'm|i am) looking(?! forward)|looking for|your task)\b",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\b(?:the|a|an|of|to|is|are|and|in|for|with|that|this|your|you|it)\b", re.IGNORECASE)
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_ITEM = re.compile(r"^\W*(?:[-*•+]|\d{1,3}[.):]|[a-z][.)]|\*\*|\||#{1,6}\s)", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!:;\n]+")
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def asks(text: str) -> bool:
    """True also for a text that is not English, or too short to tell."""
    plain = _CODE.sub(" ", text.replace("’", "'"))
    if _QUESTION.search(plain) or not _ENGLISH.search(plain):
        return True
    lines = [line for line in plain.splitlines() if line.strip() and not _ITEM.match(line)]
    sentences = [sentence.strip(" \t\"'“”*_()") for line in lines for sentence in _SENTENCE.findall(line)]
    return _OPENS.match(plain) is not None or any(map(_is_order, sentences)) or any(map(_WISH.search, lines))


def _is_order(sentence: str) -> bool:
    words = [word.lower() for word in _WORD.findall(sentence)[:6]]
    while words and words[0] in _BEFORE_ORDER:
        words.pop(0)
    if not words or words[0] in _ORDERS:
        return bool(words)
    return words[1:2] in (_AUXILIARIES if words[0] in _ASKING else _PERSONS if words[:1] in _AUXILIARIES else [])
