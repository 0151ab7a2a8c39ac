"""What a destination already has of a run: its published files, and what a killed upload has left.

Promises: a destination with data of others, or of another run, is refused, so that nothing there is overwritten.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from synth.publishing.destinations import Destination, Unpublishable
from synth.publishing.index import INDEX, Index
from synth.publishing.layout import FIRST, PublishedFile, start_of

CARD = "README.md"


class Contents(NamedTuple):
    """`files` of the index, in the order of their rows; a file that is missing has no checksums, so that it is written
    again. `leftovers` are names of files that the index does not have."""

    files: list[PublishedFile]
    leftovers: list[str]


def contents(destination: Destination, to: str, run: str) -> Contents:
    """Reads the index of the destination `to` and compares it with the files there. `run` is the run's name.

    Raises Unpublishable, and whatever the destination's client raises.
    """
    names = destination.names()
    if INDEX in names:
        try:
            index = Index.parse(destination.read(INDEX))
        except ValueError as error:
            raise Unpublishable(f"{to}/{INDEX}: {error}; choose another destination") from None
        if index.run != run:
            raise Unpublishable(f"{to}: has the rows of another run; choose another destination")
    else:
        foreign = next((name for name in names if name == CARD or name.partition("/")[0] == "data"), None)
        if foreign:
            raise Unpublishable(f"{to}: has {foreign} of others; choose another destination")
        index = Index(run)
    leftovers = _leftovers(index.files, [name for name in names if name.startswith("data/")], to)
    there = set(names)
    files = [file if file.name in there else replace(file, made_of="", sha256="") for file in index.files]
    return Contents(files, leftovers)


def _leftovers(files: Sequence[PublishedFile], names: Sequence[str], to: str) -> list[str]:
    """The files without an index entry, which a killed upload has left. Raises Unpublishable for any other."""
    known, end = {file.name for file in files}, files[-1].end if files else FIRST
    found = [name for name in names if name not in known]
    for name in found:
        start = start_of(name)
        if not name.startswith("data/.") and (start is None or start < end):
            raise Unpublishable(f"{to}: has {name} of others; choose another destination")
    return found
