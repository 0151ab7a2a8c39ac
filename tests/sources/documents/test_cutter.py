"""Blocks to passages."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.sources.documents.blocks import Block
from synth.sources.documents.cutter import cut
from synth.sources.documents.related import partners

COUNTS = {
    "words": lambda text: len(re.findall(r"\w+|[^\w\s]", text)),
    "characters": len,
    "blank lines cost nine": lambda text: len(text.split()) + 9 * text.count("\n\n"),
    "merges": lambda text: -(-len(text.encode()) // 3),
}
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12)
SENTENCES = st.lists(
    st.sampled_from(["Bees fly.", "Why?", "a b c", "No end", "蜂。", "x" * 50, "\n", "  "]), max_size=12
)
TEXTS = st.one_of(SENTENCES.map(" ".join), st.lists(WORDS, max_size=20).map(" ".join)).map(
    lambda text: text.strip("\n")
)
BLOCKS = st.builds(
    Block,
    st.sampled_from(["heading", "paragraph", "list", "table", "code"]),
    TEXTS.filter(str.strip),
    st.integers(1, 3),
    st.none() | st.integers(1, 9),
)
DOCUMENTS = st.lists(BLOCKS, max_size=12)


def without_space(text):
    return "".join(text.split())


def words(number, word="w"):
    return " ".join([word] * number)


def texts(blocks, size, overlap=0, count="words"):
    return [one.text for one in cut(blocks, COUNTS[count], size, overlap)]


@settings(deadline=None)
@given(DOCUMENTS, st.sampled_from(sorted(COUNTS)), st.integers(16, 60), st.integers(0, 8))
def test_nothing_is_lost_and_the_order_stays(blocks, count, size, overlap):
    passages = list(cut(blocks, COUNTS[count], size, overlap))
    own = "".join(passage.text[passage.overlap :] for passage in passages)
    assert without_space(own) == without_space("".join(block.text for block in blocks))


@settings(deadline=None)
@given(DOCUMENTS, st.sampled_from(sorted(COUNTS)), st.integers(16, 60), st.integers(0, 8))
def test_no_passage_has_more_tokens_than_allowed(blocks, count, size, overlap):
    assert all(COUNTS[count](text) <= size for text in texts(blocks, size, overlap, count))


@settings(deadline=None)
@given(DOCUMENTS, st.sampled_from(sorted(COUNTS)), st.integers(16, 60), st.integers(0, 8))
def test_an_overlap_is_the_end_of_the_passage_before_and_within_its_bound(blocks, count, size, overlap):
    before = ""
    for passage in cut(blocks, COUNTS[count], size, overlap):
        shared = passage.text[: passage.overlap].strip()
        assert before.rstrip().endswith(shared)
        assert COUNTS["words"](shared) <= overlap or count != "words"
        before = passage.text


@settings(deadline=None)
@given(DOCUMENTS, st.integers(16, 60), st.integers(0, 8))
def test_a_table_or_code_that_fits_is_in_one_passage(blocks, size, overlap):
    found = texts(blocks, size, overlap)
    whole = [block.text for block in blocks if block.kind in ("table", "code") and COUNTS["words"](block.text) <= size]
    assert all(any(text.rstrip() in passage for passage in found) for text in whole)


@settings(deadline=None)
@given(DOCUMENTS, st.integers(16, 60), st.integers(0, 8))
def test_the_same_blocks_give_the_same_passages(blocks, size, overlap):
    assert list(cut(blocks, len, size, overlap)) == list(cut(list(blocks), len, size, overlap))


def test_a_heading_stays_with_what_follows_it():
    blocks = [Block("paragraph", words(15)), Block("heading", "# Bees", 1), Block("paragraph", words(15))]
    assert texts(blocks, 20) == [words(15), f"# Bees\n\n{words(15)}"]


def test_a_paragraph_is_rather_cut_than_parted_from_its_heading():
    blocks = [Block("heading", "# Bees", 1), Block("paragraph", "One two three. " * 5)]
    assert texts(blocks, 20) == [f"# Bees\n\n{('One two three. ' * 4).strip()}", "One two three."]


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(30, 60))
def test_paragraphs_that_fit_together_share_a_passage(lengths, size):
    blocks = [Block("paragraph", words(min(length, size))) for length in lengths]
    sizes = [COUNTS["words"](text) for text in texts(blocks, size)]
    assert all(one + two > size - len(blocks) for one, two in itertools.pairwise(sizes))


def test_short_sections_share_a_passage_and_a_long_one_has_its_own():
    blocks = [part for at in range(4) for part in (Block("heading", f"# H{at}", 1), Block("paragraph", words(4)))]
    assert texts(blocks, 24) == [
        f"# H0\n\n{words(4)}\n\n# H1\n\n{words(4)}",
        f"# H2\n\n{words(4)}\n\n# H3\n\n{words(4)}",
    ]


def test_a_passage_has_the_headings_and_the_page_of_its_own_beginning():
    blocks = [
        Block("heading", "# Bees", 1, 1),
        Block("heading", "## Food", 2, 1),
        Block("paragraph", "One is here. " * 4, page=1),
        Block("paragraph", "Two is here. " * 4, page=2),
        Block("heading", "## **Enemies**", 2, 3),
        Block("paragraph", "Three is here. " * 4, page=3),
    ]
    passages = list(cut(blocks, COUNTS["words"], 24, 4))
    assert [(passage.headings, passage.page) for passage in passages] == [
        (("Bees", "Food"), 1),
        (("Bees", "Food"), 2),
        (("Bees", "Enemies"), 3),
    ]


def test_a_section_of_its_own_begins_with_no_overlap_and_a_part_of_one_does():
    blocks = [Block("paragraph", "One two three. Four five six."), Block("paragraph", "Seven eight nine. " * 3)]
    assert texts(blocks, 17, 4) == [blocks[0].text, f"Four five six.\n\n{blocks[1].text.strip()}"]
    section = [blocks[0], Block("heading", "# New", 1), blocks[1]]
    assert texts(section, 17, 4) == [blocks[0].text, f"# New\n\n{blocks[1].text.strip()}"]


def test_what_is_too_large_is_cut_where_its_kind_allows():
    table = "\n".join(f"| {at} | {words(5)} |" for at in range(6))
    assert all(text.startswith("| ") and text.endswith(" |") for text in texts([Block("table", table)], 20))
    code = "\n".join(f"    call({at}, {words(4)})" for at in range(6))
    assert all(text.startswith("    call(") for text in texts([Block("code", code)], 24))
    items = "\n".join(f"- item {at}\n  {words(5)}" for at in range(6))
    assert all(text.startswith("- item") for text in texts([Block("list", items)], 20))
    paragraph = " ".join(f"Here is {words(5)}." for _ in range(6))
    assert all(text.startswith("Here") and text.endswith(".") for text in texts([Block("paragraph", paragraph)], 20))


def test_partners_are_the_passages_that_share_rare_words_and_no_overlap():
    passages = ["Queens lay eggs.", "lay eggs daily", "Wasps and hornets", "Drones do nothing", "Each queens hive"]
    assert partners(passages) == [4, 0, None, None, 0]


@pytest.mark.parametrize("count", [0, 1])
def test_a_document_of_one_passage_has_no_partner(count):
    assert partners(["Bees fly"] * count) == [None] * count
