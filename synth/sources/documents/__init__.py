"""A source of documents: text, Markdown, HTML, PDF and docx, cut into passages by their structure.

A row is a passage, with its place: columns `context` (its text), `document`, `title`, `headings`, `page` and `passage`;
with `related`, also the passage of the same document that it has most in common with.

Formats other than text and Markdown need packages: pip install 'synth[documents]'.
"""

import importlib.util
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from synth.components.lists import as_list
from synth.errors import ConfigError, reason
from synth.models.model import Model
from synth.records import Record
from synth.sources import BadRow, Renamed
from synth.sources.documents.blocks import Document, Unreadable
from synth.sources.documents.conversion import converted
from synth.sources.documents.cutter import Passage, cut
from synth.sources.documents.related import partners
from synth.sources.paths import found, readable, stamp
from synth.sources.remote import Remote

log = logging.getLogger(__name__)

Format = Literal["text", "markdown", "html", "pdf", "docx"]

_ENDINGS = {"txt": "text", "text": "text", "md": "markdown", "markdown": "markdown"}
_ENDINGS |= {"html": "html", "htm": "html", "xhtml": "html", "pdf": "pdf", "docx": "docx"}
_PACKAGES = {"html": ("bs4", "markdownify"), "docx": ("mammoth", "bs4", "markdownify"), "pdf": ("pypdfium2",)}
_PACKAGES |= {"markdown": ("markdown_it",), "text": ()}
_SPECIAL = re.compile(r"[*?\[]")
SMALLEST = 16  # tokens of a passage


def _is_encoding(names: list[str]) -> list[str]:
    for name in names:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError(f"there is no encoding {name!r}") from None
    return names


_Encodings = Annotated[list[str], BeforeValidator(as_list), AfterValidator(_is_encoding), Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Documents:
    """`path` is a file, a folder with all documents in it, a pattern such as `docs/**/*.md`, the URL of these in a
    store, or a list of them. The format follows from a file's ending unless `format` sets it, for all files.

    A passage has at most `size` tokens of the run's model, or of the model with another `tokenizer`, and begins with up
    to `overlap` tokens of the one before it. `encoding` is one or several, of which the first that fits is taken, for
    text that does not declare its own. `model` is the run's, given by Synth.
    """

    path: Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
    format: Format | Literal["auto"] = "auto"
    size: Annotated[int, Field(ge=SMALLEST)] = 512
    overlap: Annotated[int, Field(ge=0)] = 64
    related: bool = False
    encoding: _Encodings = field(default_factory=lambda: ["utf-8"])
    tokenizer: str | None = None
    columns: Renamed = field(default_factory=dict)
    limit: Annotated[int, Field(ge=1)] | None = None
    repeat: Annotated[int, Field(ge=1)] = 1
    bad_rows: Literal["stop", "set_aside"] = "stop"
    model: Model

    def __post_init__(self) -> None:
        if self.overlap > self.size // 2:
            raise ValueError("overlap: can't be more than half of size")

    def __str__(self) -> str:
        return ", ".join(self.path)

    def stamp(self) -> list[Any]:
        """Path, size and modification time of each document, or its store's equivalent."""
        files = self._files()
        self._refuse_missing_packages({kind for _, _, kind in files})
        return [one for path, _, _ in files for one in stamp(path, False)]

    def read(self) -> Iterator[Record | BadRow]:
        """The passages, document by document, in the order of their names."""
        files = self._files()
        self._refuse_missing_packages({kind for _, _, kind in files})
        count = self._counter()
        names = iter([name for _, name, _ in files])
        for (path, _), document in converted(((path, kind) for path, _, kind in files), self.encoding):
            name = next(names)
            if isinstance(document, Unreadable):
                yield BadRow(str(path), 0, str(document))
            else:
                yield from self._rows(name, document, count)

    def _rows(self, name: str, document: Document, count: Callable[[str], int]) -> Iterator[Record]:
        title = document.title or PurePosixPath(name).stem
        passages = list(cut(document.blocks, count, self.size, self.overlap))
        among = (
            partners([passage.text[passage.overlap :] for passage in passages])
            if self.related
            else [None] * len(passages)
        )
        for number, (passage, partner) in enumerate(zip(passages, among, strict=True), 1):
            row = {"context": passage.text, "document": name, "title": title, **_place(passage, number)}
            if self.related:
                other = None if partner is None else passages[partner]
                place = _place(other, partner + 1 if partner is not None else None)
                row |= {"related": other.text if other else None}
                row |= {f"related_{column}": value for column, value in place.items()}
            yield row

    def _files(self) -> list[tuple[Path | Remote, str, str]]:
        """Each document, its name in the dataset and its format. Raises ConfigError for a missing one."""
        files = []
        for given in self.path:
            named = [document for path in found(given) for document in self._documents(given, path)]
            if not named:
                raise ConfigError(f"source.path: {given} has no documents, files that end in {_known()}")
            files += named
        return files

    def _documents(self, given: str, path: Path | Remote) -> list[tuple[Path | Remote, str, str]]:
        """The documents at a path that a given one names or matches."""
        with readable(path):
            if not path.is_dir():
                if self._kind(path) is None and _SPECIAL.search(given):
                    return []
                return [(path, path.name, self._kind(path) or self._refuse(path))]
            inside = sorted(_inside(path), key=lambda one: one[1])
        kinds = [(one, f"{path.name or 'documents'}/{name}", self._kind(one)) for one, name in inside]
        if others := Counter(PurePosixPath(name).suffix or name for _, name, kind in kinds if kind is None):
            listed = ", ".join(f"{ending} ({count})" for ending, count in sorted(others.items())[:10])
            log.warning("source: %s has files that are no documents and are left out: %s", path, listed)
        return [(one, name, kind) for one, name, kind in kinds if kind]

    def _kind(self, path: Path | Remote) -> str | None:
        return _ENDINGS.get(path.name.lower().rpartition(".")[2]) if self.format == "auto" else self.format

    def _refuse(self, path: Path | Remote) -> str:
        raise ConfigError(f"source.path: {path} ends in none of {_known()}; set source.format={'|'.join(_formats())}")

    def _refuse_missing_packages(self, kinds: set[str]) -> None:
        for kind in sorted(kinds):
            if absent := [name for name in _PACKAGES[kind] if importlib.util.find_spec(name) is None]:
                why = f"{kind} documents need {absent[0]}, which is not installed"
                raise ConfigError(f"source.path: {why}; pip install 'synth[documents]'")

    def _counter(self) -> Callable[[str], int]:
        """Counts the tokens of a text as a prompt has them: what looks like a control token is text."""
        from synth.chat.special_tokens import SpecialTokens

        model = replace(self.model, tokenizer=self.tokenizer) if self.tokenizer else self.model
        try:
            tokens = SpecialTokens(model.load_tokenizer())
        except (OSError, ValueError) as error:
            what = self.tokenizer or model.tokenizer or model.path
            message = f"the tokenizer of {what!r} can't be loaded: {reason(error)}"
            raise ConfigError(f"source.tokenizer: {message}; set source.tokenizer=FOLDER_OR_HUB_NAME") from None
        return lambda text: len(tokens.encode(tokens.escape(text)))


def _place(passage: Passage | None, number: int | None) -> Record:
    headings = " > ".join(passage.headings) if passage else ""
    return {"headings": headings or None, "page": passage.page if passage else None, "passage": number}


def _inside(folder: Path | Remote) -> Iterator[tuple[Path | Remote, str]]:
    """All files in a folder and the folders in it, with their names from there. Hidden ones are left out, and links to
    folders are not followed. Raises OSError."""
    if isinstance(folder, Remote):
        start = len(str(folder).rstrip("/")) + 1
        for remote in folder.files():
            name = str(remote)[start:]
            if not any(part.startswith(".") for part in name.split("/")):
                yield remote, name
        return

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and (path.is_file() or path.is_symlink()):
                yield path, path.relative_to(folder).as_posix()


def _known() -> str:
    return ", ".join(f".{one}" for one in _ENDINGS)


def _formats() -> Sequence[str]:
    return get_args(Format)
