"""docs/reference.md is what docs/reference.py makes of the code."""

import importlib.util
import re

import pytest

from tests.documents import ROOT


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_keys_is_up_to_date(reference):
    assert reference.page() == reference.PAGE.read_text("utf-8"), "python docs/reference.py writes it"


def test_no_key_is_without_a_line_a_type_or_a_default(reference):
    rows = re.findall(r"^\| `.*$", reference.page(), re.MULTILINE)
    assert len(rows) > 200
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 4 and all(cells), f"{row}: a comment in conf/, or a line in LINES of docs/reference.py"


def test_every_key_of_a_shipped_strategys_step_is_on_the_page(reference):
    page = reference.page()
    for path in (reference.CONF_DIR / "strategy").glob("*.yaml"):
        for target, keys in steps(reference.plain(path)):
            part = page.partition(f"`_target_: {target}`")[2].partition("\n### ")[0]
            assert part, target
            assert {key for key in keys if f"| `{key}` |" not in part} <= {"_target_", "model"}, (
                f"{path.name}: {target}"
            )


def steps(keys):
    for node in keys.values():
        if isinstance(node, dict) and str(node.get("_target_", "")).startswith(("synth.steps.", "synth.quality.")):
            yield node["_target_"], node
