"""How far the strata of a run are: in its progress, in `synth show`, and in its report."""

import io
import json

from rich.console import Console

from synth.inspect import main as show
from synth.report.__main__ import main as report
from synth.report.progress import Progress
from synth.report.snapshot import Snapshot
from synth.report.strata import Stratum, kept_of, short_strata, strata_of
from synth.strata import Strata
from tests.report.runs import kept, make_run

STRATA = Strata({"quality": {"good": 3, "poor": 1, "(others)": 0}})
TOLD = [Stratum("quality", "good", 2, 3), Stratum("quality", "poor", 1, 1)]


def run(path):
    rows = [kept(n, quality="good" if n else "poor") for n in range(3)]
    return make_run(path, rows, {"quality": "string"}, num_records=4, strata=STRATA)


def test_strata_of_which_nothing_is_wanted_are_left_out():
    assert strata_of(STRATA.rows, {("quality", "good"): 2, ("quality", "poor"): 1}) == TOLD
    assert short_strata(TOLD) == "quality good 2/3"
    assert kept_of([]) == {}


def test_they_are_shown_in_the_terminal(tmp_path):
    out = io.StringIO()
    assert show([str(run(tmp_path / "mine"))], Console(file=out, width=200, highlight=False, markup=False)) == 0
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["quality", "good", "████████", "2", "3"] in lines and ["poor", "█" * 12, "1", "1"] in lines


def test_they_are_in_the_report(tmp_path):
    folder = run(tmp_path / "mine")
    assert report([str(folder)]) == 0
    assert "<td>quality</td><td>good</td><td>2</td><td>3</td>" in (folder / "report.html").read_text()


def test_lines_of_the_progress_tell_what_is_short_and_a_terminal_all(tmp_path):
    now = Snapshot(kept=3, rejected=0, wanted=4, replicas=1, replicas_ready=1, strata=TOLD)
    plain, drawn = io.StringIO(), io.StringIO()
    with Progress(tmp_path / "metrics.jsonl", Console(file=plain, width=40)) as progress:
        progress.update(now)
    assert "short: quality good 2/3" in plain.getvalue().splitlines()[0]
    assert "strata" not in json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    console = Console(file=drawn, force_terminal=True, width=120, _environ={"TERM": "xterm"})
    with Progress(tmp_path / "other.jsonl", console) as progress:
        progress.update(now)
    assert "poor" in drawn.getvalue()
