"""docs/python_api.md: all names are on it, and its calls are runs that can be planned."""

import re
import sys
from pathlib import Path

import synth
from synth import from_python, run
from tests.documents import ROOT

PAGE = ROOT / "docs" / "python_api.md"


def test_the_page_names_all_that_a_program_imports():
    names = set(re.findall(r"`(\w+)`", PAGE.read_text().partition("## Names")[2].split("\n\n")[1]))
    assert set(synth.__all__) <= names


def test_every_call_of_the_page_is_a_run_that_can_be_planned(tmp_path, monkeypatch, capfd):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_steps", raising=False)  # another page's
    Path("my_steps.py").write_text("async def shorten(record, llm, words=20):\n    return record\n")
    planned = []

    def planned_only(words):
        planned.append([*words])
        assert run.main([*planned[-1], "dry_run=true"]) == 0, capfd.readouterr().err
        return from_python.DONE, []

    monkeypatch.setattr(from_python, "run_command", planned_only)
    monkeypatch.setattr("datasets.load_from_disk", lambda path: path)
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        exec(block, {})
    assert len(planned) == 3
