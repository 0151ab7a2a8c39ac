"""Each format, read from real files."""

import re
from pathlib import Path

import markdown_it
import pytest

from synth.sources.documents import markup, pdf, plain
from synth.sources.documents.blocks import Unreadable, checked
from tests.sources.documents import files

UTF8 = ["utf-8"]


def without_comments(text):
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def shown(document):
    return [(block.kind, block.text) for block in checked(document).blocks]


def test_paragraphs_of_a_text_are_what_blank_lines_separate():
    found = plain.text(b"One line\nand its next.\r\n\r\n  \r\n# no heading\r\n\r\n\r\n    indented", UTF8)
    assert shown(found) == [
        ("paragraph", "One line\nand its next."),
        ("paragraph", "# no heading"),
        ("paragraph", "    indented"),
    ]


def test_markdown_has_headings_lists_tables_and_code_as_they_stand():
    found = plain.markdown(files.MARKDOWN.encode(), UTF8)
    assert found.title == "The hive"
    assert shown(found) == [
        ("heading", "# Bees"),
        ("paragraph", "The *queen* lays eggs, see [the book][1]."),
        ("code", "```python\n# not a heading\n\nbee.fly()\n```"),
        ("table", "| bee | length |\n| --- | --- |\n| queen | 2 cm |"),
        ("heading", "Their enemies\n-------------"),
        ("list", "1. hornets\n2. wax moths"),
        ("paragraph", "[1]: https://example.org"),
    ]


def test_no_line_of_a_real_markdown_file_is_lost():
    paths = [path for path in Path(markdown_it.__file__).parents[1].rglob("*.md") if path.stat().st_size < 50_000]
    paths = [path for path in paths if not path.read_text().startswith("---")][:40]
    assert len(paths) > 10
    for path in paths:
        text = plain.decoded(path.read_bytes(), UTF8)
        kept = "\n".join(block.text for block in plain.of_markdown(text).blocks)
        left_out = [line for line in without_comments(text).splitlines() if line.rstrip() not in kept]
        assert all(set(line) <= set("-*_ ") for line in left_out), path


def test_html_is_its_main_part_without_what_is_no_text():
    found = checked(markup.html(files.PAGE.encode(), UTF8))
    assert found.title == "The hive"
    assert shown(found) == [
        ("heading", "# Bees"),
        ("paragraph", "The queen lays **eggs** & more."),
        ("code", "```python\nfor bee in hive:\n    bee.fly()\n```"),
        ("table", "| bee | length |\n| --- | --- |\n| queen | 2 cm |"),
        ("list", "- wax\n- honey"),
    ]


def test_a_docx_file_has_its_title_headings_tables_and_lists():
    found = checked(markup.docx(files.word(), UTF8))
    assert found.title == "The hive"
    assert shown(found) == [
        ("heading", "# Bees"),
        ("paragraph", files.SENTENCE.strip()),
        ("heading", "## Sizes"),
        ("table", "| bee | length |\n| --- | --- |\n| queen | 2 cm |"),
        ("list", "- wax\n- honey"),
    ]


def test_a_pdf_file_has_paragraphs_headings_and_pages_without_the_footer():
    found = checked(pdf.pdf(files.pdf(), UTF8))
    assert found.title == "The hive"
    assert [(block.kind, block.level, block.page) for block in found.blocks] == [
        ("heading", 1, 1),
        ("paragraph", 0, 1),
        ("paragraph", 0, 1),
        ("heading", 2, 2),
        ("paragraph", 0, 2),
        ("paragraph", 0, 3),
    ]
    assert [block.text for block in found.blocks] == [
        "Bees",
        (files.SENTENCE * 4).strip(),
        "A second paragraph of the first page.",
        "Their enemies",
        "Hornets wait before the hive.",
        "Wax moths eat the combs.",
    ]


@pytest.mark.parametrize(
    ("data", "encodings"),
    [
        ("Bienenkönigin".encode(), ["utf-8"]),
        ("\ufeffBienenkönigin".encode(), ["utf-8"]),
        ("Bienenkönigin".encode("utf-16"), ["utf-8"]),
        ("Bienenkönigin".encode("latin-1"), ["utf-8", "latin-1"]),
    ],
)
def test_text_is_decoded_by_its_mark_or_the_first_encoding_that_fits(data, encodings):
    assert shown(plain.text(data, encodings)) == [("paragraph", "Bienenkönigin")]


def test_another_encoding_is_no_guess():
    with pytest.raises(Unreadable, match=r"is not utf-8; source\.encoding="):
        plain.text("Bienenkönigin".encode("latin-1"), UTF8)


def test_html_says_its_own_encoding():
    page = '<meta charset="latin-1"><p>Bienenkönigin'.encode("latin-1")
    assert shown(markup.html(page, UTF8)) == [("paragraph", "Bienenkönigin")]


def test_control_characters_and_surrogates_are_left_out():
    assert shown(plain.text(b"a\x07b\x1b[31m\xef\xbb\xbf", UTF8)) == [("paragraph", "ab[31m")]
