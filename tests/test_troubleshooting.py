"""Each line that docs/troubleshooting.md quotes still stands in the code, in all its fixed parts."""

import ast
import re

import pytest

from tests.documents import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
ROWS = [row for row in re.findall(r"^\| (`.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)]
LINES = [re.match(r"`([^`]+)`", row)[1] for row in ROWS]


@pytest.fixture(scope="module")
def texts():
    """All texts in the code, those between the fields of an f-string apart."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "synth").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\0".join(node.value for node in nodes if isinstance(node.value, str))


@pytest.mark.parametrize("line", LINES)
def test_the_fixed_parts_of_a_quoted_line_are_in_the_code(line, texts):
    parts = [part.strip(" :;") for part in line.split("…")]
    assert max(map(len, parts)) >= 8
    for part in filter(None, parts):
        assert part in texts, part


def test_each_line_has_a_cause_and_a_fix():
    assert len(LINES) > 60
    for row in ROWS:
        cells = [cell.strip() for cell in re.split(r" \| ", row)]
        assert len(cells) == 3 and all(cells), row
