"""Every link of README and docs that stays in the repository leads to a file, and to a heading where it names one; and
what has to be named on a page is."""

import re
from pathlib import Path

import pytest

from tests.documents import PAGES, ROOT, name_of

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower() for head in heads)
    return {re.sub(r"[^\w\- ]", "", head).strip().replace(" ", "-") for head in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_site_has_each_page_once_in_its_navigation():
    text = (ROOT / "docs" / "index.md").read_text("utf-8")
    blocks = re.findall(r"^```\{toctree\}\n(?::.*\n)+\n((?:\S+\n)+)```", text, re.MULTILINE)
    named = [line for block in blocks for line in block.split()]
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES if page.parent != ROOT}
    assert len(blocks) > 5 and sorted(named) == sorted(pages - {"index"})


def test_each_shipped_strategy_is_among_those_to_choose_from():
    named = re.findall(r"`(\w+)`", (ROOT / "docs" / "which_strategy.md").read_text("utf-8"))
    assert {path.stem for path in (ROOT / "conf" / "strategy").glob("*.yaml")} <= set(named)
