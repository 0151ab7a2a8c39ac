"""Rejects instructions that no user would type: in the assistant's voice, about a missing text, or without a request.

The first two by their first sentence: a user may quote an assistant later, or say "this text" after giving it. What
asks for nothing is an article or a letter to somebody else (synth/quality/statement.py).

Limits: whether an instruction makes sense is not checked, and non-English instructions are kept. Material in another
column (a source's `input`) is not seen: leave the filter out then.
"""

import re
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.quality.asking import asks
from synth.quality.statement import only_states
from synth.quality.text_filter import TextFilter
from synth.quality.texts import beginnings, texts, unquoted, unquoted_beginning
from synth.records import Record, Rejection

# No user offers help; "I'm ready to help my son" is no offer.
_OFFER = r"""(?:
    i(?:'m|\sam)\s(?:\w+\s)?(?:here|happy|glad|ready|excited)\sto\s
      (?:hear\b|support\syou\b|(?:help|assist|answer|provide)(?:\s(?:you|with|any)\b|[,.!?\n]|$))
  | i(?:'m|\sam)\sglad\syou\b
  | i(?:'d|\swould|'ll|\swill)\s(?:love|be\s(?:happy|glad|delighted))\sto\s(?:help|assist|provide|answer)\b
  | i\scan\s(?:\w+\s)?(?:help|assist|guide|support)\s(?:you|with\s(?:that|this|your|any|all))\b
  | i(?:'ll|\swill)\s(?:help|guide|assist)\syou\b
  | let\sme\shelp\b
)"""
_OFFERS = re.compile(rf"\b{_OFFER}", re.IGNORECASE | re.VERBOSE)
_ASSISTANT = re.compile(
    rf"""\W*+(?:(?:hello|hi|hey|greetings|good\s\w+|great|okay|alright|of\scourse|sure|certainly|absolutely)\b
        (?:\sthere|\severyone)?[\s,!.]+)?(?:
      how\s(?:can|may|could)\si\s(?:help|assist|be\sof\s\w+\sto)\syou(?!\sunderstand)
    | what\scan\si\s(?:do\sfor|help)\syou
    | (?:can|may)\si\s(?:help|assist)\syou\b
    | what\swould\syou\slike\s(?:to\s(?:know|learn|discuss|talk|ask)|me\sto|help|assistance)\b
    | what(?:'s|\sis)\s(?:your\squestion|on\syour\smind)\b
    | is\sthere\sanything\s(?:else\s|specific\s)?(?:i\scan\s(?:help|assist|do\sfor\syou)
        |you(?:'d|\swould)\slike\s(?:me|help|to\s(?:know|discuss)))
    | please\s(?:provide|share|paste|enter|specify|tell|let)\b[^.!?]{{0,60}}?\b(?:
        you(?:'d|\swould|)\s(?:like|want|need)\s(?:me\sto|help|assistance)|(?:how|what|so|so\sthat)\si\s(?:can|may)\s(?:help|assist))
    | {_OFFER}
    | i\sunderstand\s(?:that\s)?you(?:'re|\sare|'d|\swould)\s(?:like|looking|interested|trying|asking|having)\b
    | i(?:'m|\sam)\s(?:(?:an?|the)\s(?:[\w-]+\s){{0,4}}?(?:ai|chatbot|assistant|language\smodel)\s
        (?:designed|created|made|trained|developed|built|here\sto|and\si\s(?:will|can)|(?:that|who)\scan)\b
        |your\s(?:[\w-]+\s){{0,3}}?(?:ai|chatbot|assistant)\b)
    | thank\syou\sfor\s(?:your\s(?:question|interest|inquiry)|asking|reaching\sout|contacting)\b
    | you(?:'re|\sare)\swelcome[,!.]
    | i\shope\s(?:this|that)\shelps\b
    | feel\sfree\sto\s(?:ask|reach|contact)\b
    | i\sapologi[sz]e\sfor\s(?:the|any)\s(?:confusion|misunderstanding|inconvenience)
    | welcome\sto\b
    )
    | \W*+(?:sure|certainly|of\scourse|absolutely)[,!.]\s
        (?:here|below|let(?:'s|\sme)|i\s(?:can|will|would)|i'(?:m|ll|d))\b
    | \W*+as\san?\s(?:\w+\s){{0,3}}(?:ai|language\smodel|chatbot|assistant),\si\b
    | \W*+i(?:'m|\sam)\s(?:sorry|afraid),?\s(?:but\s)?i\s(?:(?:can't|cannot)\s
        (?:help|assist|provide|answer|fulfil|comply|do\s(?:that|this)|generate|create)|am\s(?:un|not\s)able)
    | \W*+here(?:'s|\sis|\sare)\s(?:\w+\s){{1,5}}(?:that|to|for|of)\b[^:?]*:\s*(?:\n|1\.)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Not at the beginning: "I'm Emma, a travel blogger. I'm here to help you with your plans. What's on your mind?"
_BEYOND = re.compile(
    r"\bi(?:'m|\sam)(?:\salways)?\shere\sto\s(?:help|assist)\s(?:you\b|with\s(?:any|your)\b)|\bwhat's\son\syour\smind\b"
    r"|\bhow\s(?:can|may)\si\s(?:help|assist)\syou\s(?:today|with)\b"
    r"|\bi(?:'d|\swould)\sbe\shappy\sto\s(?:help|assist)\syou\b",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"\b(?:write|draft|compose|reply|respond|answer|act|role|play|pretend|script|chat\w*|bot|dialogue|conversation"
    r"|(?:this|the|following|my|an?|below)\s(?:\w+\s){0,2}(?:e-?mail|message|letter)"
    r"|re(?:write|phrase|view)|translate|correct|edit|you\sare|your\s(?:task|job|goal))\b",
    re.IGNORECASE,
)
# Text after code that an assistant wrote.
_EXPLAINS = re.compile(
    r"^(?:this|the)\s(?:\w+\s)?(?:function|implementation|code|script|program|solution|version)\s(?:above\s|first\s)?"
    r"(?:uses|takes|returns|creates|iterates|checks|defines|works|will)\b",
    re.IGNORECASE | re.MULTILINE,
)
_WELCOME = re.compile(r"\W*welcome\sto\b", re.IGNORECASE)

_MATERIAL = (
    r"(?:text|article|paragraph|passage|sentences?|excerpt|code|snippet|function|e-?mail|letter|image|picture"
    r"|photo|graph|chart|table|essay|document|story|poem|review|conversation|dialogue|transcript|tweet|post|product|video|song"
    r"|recipe|resume|contract|abstract|statement|quote|phrase)"
)
_REFERENCE = re.compile(
    rf"""\b(?:
      (?:the\s)?(?:following|attached|above|below|enclosed)\s(?:\w+\s){{0,2}}?{_MATERIAL}
    | the\s(?:given|provided|previous|preceding)\s(?:\w+\s){{0,2}}?{_MATERIAL}
    | (?:this|these)\s(?:\w+\s)?{_MATERIAL}
    | the\s{_MATERIAL}\s(?:below|above|attached|provided)
    | the\s(?:argument|passage|excerpt)(?!\s(?:for|from|of|against|that|about|between|over|with|in|to)\b)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# "Proofread my essay.", but not "Edit the text of the first amendment" or "Fix the contract law chapter".
_TO_WORK_ON = re.compile(
    rf"""(?:(?:can|could|would|will)\syou\s)?(?:please\s)?(?:help\sme\s)?
    (?:proofread|edit|correct|fix|debug|modify|revise|review|refactor|improve|polish|rewrite|rephrase|paraphrase|shorten
      |summari[sz]e|translate|analy[sz]e)\s
    (?:the|my|this|our)\s(?:\w+\s)?{_MATERIAL}(?=\s(?:to|so|and|in|into|for\sme|please)\b|[\s.!?]*$|[.!?]\s)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A request for a program is not about a given text: "Write a function that counts the words of the given sentence."
_PROGRAM = re.compile(
    r"\b(?:write|create|implement|design|develop|build|generate|need|want|provide|give)\b.{0,60}?"
    r"\b(?:function|program|script|code|algorithm|method|class|query|regex|macro|formula|app|tool|prompt)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)|\n|$)", re.DOTALL)
_GIVEN = re.compile(r"[\"“”`«»:<>{}|=]|'[^'\n]{3,}'|\s[-–—]\s|https?://|\d{3,}|\w\((?!s\))")
# Of code a name is not given material: "Change the given code so that it uses `x`."
_CODE = re.compile(r"\b(?:code|snippet|function)\b", re.IGNORECASE)
_NAMED = re.compile(r"`[^`\n]{1,20}`|'[^'\s]{1,20}'|\"[^\"\s]{1,20}\"")
LOOKED_AHEAD = 40  # characters after an opening that may change its meaning
LEAST_MATERIAL = 4  # words after the sentence that refers to a text


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Request(TextFilter):
    """Rejects a record if a text in `column` is not what a user would ask.

    `assistant_voice`: it begins like an assistant ("How can I help you", "Sure, here is"). `missing_material`: its
    first sentence refers to a text, an image or other material ("Summarize the following article."), and fewer than
    four words follow, without code or a quotation. `asks_nothing`: the first text has `min_stated` words or more and is
    an article or a letter to somebody else; null allows these. Also: `no_COLUMN`.
    """

    column: str = "instruction"
    min_stated: Annotated[int, Field(ge=1)] | None = 8

    reasons: ClassVar[tuple[str, ...]] = ("assistant_voice", "missing_material", "asks_nothing")

    def __call__(self, record: Record, llm: Any) -> Record:
        first, *_ = found = texts(record, self.column)
        if lacks_material(first):  # material of a later turn may be in an earlier one
            raise Rejection("missing_material", " ".join(first.split())[:100])
        for text in found:
            if in_assistants_voice(text):
                raise Rejection("assistant_voice", " ".join(text.split())[:100])
        if self.min_stated is not None and only_states(first, self.min_stated):
            raise Rejection("asks_nothing", " ".join(first.split())[:100])
        return record

    def doomed(self, record: Record, left: int) -> Rejection | None:
        """For a partial text that opens like an assistant."""
        for text in beginnings(record, self.column):
            if opens_in_assistants_voice(text):
                return Rejection("assistant_voice", " ".join(text.split())[:100])
        return None


def in_assistants_voice(text: str) -> bool:
    text = unquoted(text)
    if (_BEYOND.search(text) and not _ROLE.search(text)) or (_EXPLAINS.search(text) and not asks(text)):
        return True
    if _WELCOME.match(text):  # with a question, it is a user who sets a scene
        return not asks(text)
    return _ASSISTANT.match(text) is not None


def opens_in_assistants_voice(text: str) -> bool:
    """True if the opening decides it, whatever follows. A welcome may be a user's, who asks something later."""
    beginning = unquoted_beginning(text)
    found = _ASSISTANT.match(beginning)
    return found is not None and found.end() + LOOKED_AHEAD <= len(beginning) and not _WELCOME.match(beginning)


def offers_help(text: str) -> bool:
    """Whether the text offers help as an assistant does, anywhere."""
    return _OFFERS.search(text.replace("’", "'")) is not None


def lacks_material(text: str) -> bool:
    first = _SENTENCE.match(text.strip())
    if (
        first is None
        or not (_REFERENCE.search(first[0]) or _TO_WORK_ON.match(first[0]))
        or _PROGRAM.search(_REFERENCE.sub(" ", first[0]))
        or _GIVEN.search(_NAMED.sub(" ", text) if _CODE.search(first[0]) else text)
    ):
        return False
    return len(text.strip()[first.end() :].split()) < LEAST_MATERIAL
