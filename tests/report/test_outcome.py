"""The last lines of a run: counts, and what is to be known of the rows before they are used."""

from types import SimpleNamespace

import pytest

from synth.report.outcome import Outcome, is_unreadable
from synth.report.run_data import Run
from synth.steps.judge import Judge
from synth.steps.strategy import Step, Strategy
from synth.storage.merge import merge
from tests.error_lines import check_line
from tests.report.runs import kept, make_run, rejected

JUDGED = {"judge_score": "int64", "judge_reason": "string"}
STRATEGY = Strategy("mine", [Step("judge", Judge(), JUDGED)])


@pytest.fixture
def closing(tmp_path, capsys):
    """What is said of a run with these rows, as (standard output, notes)."""

    def closing(rows, columns=None, wanted=None):
        run = Run.open(make_run(tmp_path / "run", rows, columns, num_records=wanted))
        merged = merge([(run.folder, run.manifest)], run.folder.dataset, wanted)
        notes = []
        Outcome(run, STRATEGY, merged, wanted or len(rows), notes.append).show(12.3)
        return SimpleNamespace(out=capsys.readouterr().out, notes=notes)

    return closing


def test_it_says_what_was_kept_and_rejected_for_which_reasons_and_how_to_see_them(closing, tmp_path):
    rows = [*(kept(n) for n in range(7)), rejected(7), rejected(8), rejected(9, "filter", "too_short")]
    out = closing(rows, wanted=5).out
    assert out.startswith("5 records kept (2 more than asked for), 3 rejected (2 low_score, 1 too_short), in 12 s\n")
    assert f"python -m synth.inspect {tmp_path / 'run'} --rejected low_score" in out


def test_a_sample_shows_the_columns_that_are_the_runs_own(closing):
    row = kept(0, topic="rivers\nand lakes", judge_score=4, judge_reason=None)
    out = closing([row], JUDGED | {"topic": "string"}).out
    assert "0 columns: judge_score: 4; topic: rivers and lakes\n" in out


def test_answers_that_were_cut_are_counted(closing):
    assert closing([kept(0, finish_reason="length"), *(kept(n) for n in range(1, 4))]).notes == [
        "cut by max_tokens: 1 of 4 answers (25%; their finish_reason is length)"
    ]


def test_verdicts_that_could_not_be_read_are_counted_whatever_became_of_their_rows(closing):
    good = [kept(n, judge_score=n % 3 + 1, judge_reason="Because.") for n in range(6)]
    lost = kept(6, judge_score=None, judge_reason="unparsable_judgement")
    notes = closing([*good, lost, rejected(7, reason="truncated_judgement")], JUDGED).notes
    assert notes == [
        "unreadable verdicts: 1 judge: truncated_judgement; these rows are rejected",
        "unreadable verdicts: judge_score is null in 1 kept rows",
    ]
    assert is_unreadable("classify: no_verdict") and not is_unreadable("judge: low_score")


def test_verdicts_within_a_step_are_counted_by_the_rounds_that_they_ended_each_once(closing):
    def evolved(number, *operations, path="", **more):
        lineage = [{"step": "evol", "text": f"{number}, {at}", "operation": one} for at, one in enumerate(operations)]
        return kept(number, lineage=lineage, **more) | {"id": f"{number}{path}"}

    unread = "eliminated: no_verdict (deepen)"
    candidate = {"step": "preference", "text": "Maybe.", "operation": "candidate: unparsable_judgement"}
    rows = [
        evolved(0, unread, "deepen", path="/0"),  # both are of one record, and share its first round
        evolved(0, unread, "deepen", unread, "eliminated: no_gain (reasoning)", path="/1"),
        rejected(1, "evol", "not_evolved", lineage=evolved(1, unread, None)["lineage"]),
        rejected(2, lineage=[candidate]),
        kept(3, lineage=None),
    ]
    assert closing(rows).notes == [
        "unreadable verdicts: 3 evol: no_verdict, 1 preference: unparsable_judgement; see the lineages of these rows"
    ]


def test_a_judge_that_says_the_same_of_nearly_all_is_named_rejected_rows_counted_in(closing):
    rows = [kept(n, judge_score=4) for n in range(30)]
    assert closing([*rows, rejected(30, judge_score=1)], JUDGED).notes == [
        "judge_score is nearly constant: it is 4 in 30 of 31 verdicts"
    ]


def test_a_judge_that_tells_rows_apart_is_not(closing):
    rows = [*(kept(n, judge_score=4) for n in range(15)), *(rejected(n, judge_score=1) for n in range(15, 28))]
    assert closing(rows, JUDGED).notes == []


def test_a_low_yield_is_told_with_what_was_planned(closing):
    rows = [kept(0), *(rejected(n) for n in range(1, 10))]
    [line] = closing(rows, wanted=1).notes
    check_line(line, "low yield", "10%", "10 records", "1")


def test_of_a_run_without_any_row_no_dataset_is_announced(closing):
    closing = closing([rejected(0), rejected(1)])
    assert (
        closing.out.startswith("0 records kept, 2 rejected (2 low_score), in 12 s\n") and "dataset" not in closing.out
    )
    [line] = closing.notes
    check_line(line, "low yield", "none", "2 records")
