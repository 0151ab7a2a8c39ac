"""Makes untrusted text safe for a terminal: it can't move the cursor, overwrite text, or change the writing
direction."""

import os
import sys
import unicodedata


def printable(text: str) -> str:
    """The text with control and format characters, except newlines, escaped: `\\x1b` for ESC."""
    return "".join(
        character if character == "\n" or unicodedata.category(character)[0] != "C" else spelled(character)
        for character in text
    )


def in_a_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


def spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def write(text: str) -> None:
    """Write a page to standard output, whose reader may stop reading, like `head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's flush at exit
