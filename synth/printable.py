"""Text that anybody may have written, as a terminal can be shown it: it can't move the cursor, paint over what stands
there, or turn the direction of what follows."""

import os
import sys
import unicodedata


def printable(text: str) -> str:
    """The text with control and format characters, newlines apart, spelled out: `\\x1b` for an escape."""
    return "".join(one if one == "\n" or unicodedata.category(one)[0] != "C" else spelled(one) for one in text)


def in_a_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


def spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def write(text: str) -> None:
    """A page to standard output, whose reader may have seen enough of it, as `head` has."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
