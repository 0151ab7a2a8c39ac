"""Reads HTML and docx: both become Markdown, and its blocks.

Of an HTML page, the main part is read if it is marked as such, and never what is no text of it: scripts, menus, forms.
Nothing that a document refers to is loaded, and no XML entity of a docx file is expanded.

Promises: a docx file is unpacked only as far as `LARGEST_XML` bytes.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any

from synth.sources.documents.blocks import Document, Unreadable
from synth.sources.documents.plain import decoded, of_markdown

LARGEST_XML = 2**26  # bytes of all XML in a docx file, unpacked

_NO_TEXT = "script style noscript template nav header footer aside form button select svg canvas iframe object head"
_LINE_MARKS = ("¶", "#", "§", "\uf0c1")  # links of a heading to itself
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w:.-]{2,40})""", re.IGNORECASE)
_OLE = b"\xd0\xcf\x11\xe0"  # of files that are older than docx, and of encrypted ones
_TITLE = re.compile(r"<dc:title\b[^>]*>([^<]{1,300})</dc:title>")


def html(data: bytes, encodings: Sequence[str]) -> Document:
    declared = _DECLARED.search(data[:4096])
    named = [declared[1].decode()] if declared else []
    return _of_html(decoded(data, [*named, *encodings]))


def docx(data: bytes, encodings: Sequence[str]) -> Document:
    import mammoth

    if data.startswith(_OLE):
        raise Unreadable("is encrypted, or a .doc file")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            title = _checked(file)
        page = mammoth.convert_to_html(
            io.BytesIO(data),
            convert_image=lambda image: [],
            style_map="p[style-name='Title'] => h1:fresh",
            include_embedded_style_map=False,
            external_file_access=False,
        ).value
    except Unreadable:
        raise
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # many kinds, from zipfile, expat and mammoth
        raise Unreadable(f"is not a readable docx file: {str(error) or type(error).__name__}") from None
    found = _of_html(page)
    return Document(title, found.blocks)


def _checked(file: zipfile.ZipFile) -> str | None:
    """The title by the file's properties. Raises Unreadable for a file that may be an attack."""
    parts = [member for member in file.infolist() if member.filename.lower().endswith((".xml", ".rels"))]
    if sum(part.file_size for part in parts) > LARGEST_XML:  # zipfile unpacks no more than this size
        raise Unreadable(f"has more than {LARGEST_XML >> 20} MiB of XML")
    title = None
    for part in parts:
        content = file.read(part)
        if b"<!DOCTYPE" in content.replace(b"\0", b""):
            raise Unreadable(f"has a document type in {part.filename}, which no docx file needs")
        if part.filename == "docProps/core.xml" and (found := _TITLE.search(content.decode("utf-8", "replace"))):
            title = found[1]
    return title


def _of_html(page: str) -> Document:
    from bs4 import BeautifulSoup, Comment
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(page, "html.parser")
    title = soup.title.get_text(" ") if soup.title else None
    for tag in soup.find_all(_NO_TEXT.split()):
        tag.decompose()
    for tag in soup.find_all(_is_hidden):
        tag.decompose()
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for link in soup.find_all("a"):
        if link.get_text(strip=True) in _LINE_MARKS:
            link.decompose()
    converter = MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        strip=["a", "img"],
        escape_asterisks=False,
        escape_underscores=False,
        escape_misc=False,
        table_infer_header=True,
        code_language_callback=_language,
    )
    markdown: str = converter.convert_soup(_main(soup))
    return of_markdown(markdown, title)


def _main(soup: Any) -> Any:
    """The part of a page that is its text, if it says which."""
    found = soup.find_all("main") or soup.find_all(attrs={"role": "main"}) or soup.find_all("article")
    return found[0] if len(found) == 1 and found[0].get_text(strip=True) else soup


def _is_hidden(tag: Any) -> bool:
    return bool(tag.has_attr("hidden") or tag.get("aria-hidden") == "true")


def _language(pre: Any) -> str:
    """The language of a block of code, by the class of `pre`, of `code` in it or of what is around it."""
    around = [pre, pre.find("code"), pre.parent, pre.parent.parent if pre.parent else None]
    names = [name for tag in around if tag is not None for name in tag.get("class") or ()]
    found = [one[1] for name in names if (one := re.fullmatch(r"(?:language|highlight|lang)-(\w{1,20})", name))]
    return found[0] if found and found[0] not in ("default", "none", "notranslate") else ""
