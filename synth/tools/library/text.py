"""What is in a text, and other ways to write one."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import Field

Text = Annotated[str, Field(description="The text", max_length=5000)]

_SIGNS = """
.- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..
----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.
"""
_MORSE = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", _SIGNS.split(), strict=True))


def count_text(text: Text) -> dict[str, int]:
    """How many characters, letters, words and sentences are in a text."""
    return {
        "characters": len(text),
        "letters": sum(character.isalpha() for character in text),
        "words": len(text.split()),
        "sentences": len(re.findall(r"[.!?]+(?=\s|$)", text)),
    }


def count_letter(text: Text, letter: Annotated[str, Field(min_length=1, max_length=1)]) -> dict[str, int]:
    """How often a letter is in a text, in either case."""
    return {"count": text.casefold().count(letter.casefold())}


def reverse_text(text: Text) -> dict[str, str]:
    """A text backwards."""
    return {"reversed": text[::-1]}


def is_palindrome(text: Text) -> dict[str, str]:
    """Whether a text reads the same backwards, blanks and punctuation left out; with the letters that were compared."""
    letters = "".join(one for one in text.casefold() if one.isalnum())
    return {"letters": letters, "is_palindrome": "yes" if letters and letters == letters[::-1] else "no"}


def encode_base64(text: Text) -> dict[str, str]:
    """A text as Base64, of its UTF-8 bytes."""
    return {"base64": base64.b64encode(text.encode()).decode()}


def decode_base64(base64_text: Annotated[str, Field(max_length=8000)]) -> dict[str, str]:
    """The text that Base64 stands for."""
    try:
        return {"text": base64.b64decode(base64_text, validate=True).decode()}
    except (binascii.Error, ValueError):
        raise ValueError("that is no text in Base64") from None


def to_morse(text: Annotated[str, Field(description="Letters, digits and blanks", max_length=500)]) -> dict[str, str]:
    """A text in Morse code, words apart by a slash."""
    words = [[_MORSE.get(one) for one in word] for word in text.upper().split()]
    if not words or any(one is None for word in words for one in word):
        raise ValueError("Morse code is for letters and digits here")
    return {"morse": " / ".join(" ".join(map(str, word)) for word in words)}


TOOLS = {
    count_text: ("How many words are in 'The owl sleeps by day.'?", {"text": "The owl sleeps by day."}),
    count_letter: ("How many times is the letter s in Mississippi?", {"text": "Mississippi", "letter": "s"}),
    reverse_text: ("What is 'lantern' spelled backwards?", {"text": "lantern"}),
    is_palindrome: ("Is 'Never odd or even' a palindrome?", {"text": "Never odd or even"}),
    encode_base64: ("What is 'open sesame' in Base64?", {"text": "open sesame"}),
    decode_base64: ("What does aGVyb24= say?", {"base64_text": "aGVyb24="}),
    to_morse: ("How do I tap SOS 24 in Morse code?", {"text": "SOS 24"}),
}
