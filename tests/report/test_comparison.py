"""Runs in one table, and what the filters find in their rows."""

import pytest

from synth.report.__main__ import main
from synth.report.comparison import Comparison, letter, settings
from synth.report.run_data import Run
from synth.report.soundness import soundness
from tests.report.runs import kept, make_run, rejected

LOOP = "The cat sat on the mat and looked at the dog. " * 12


def run(path, rows, **more):
    return Run.open(make_run(path, rows, **more))


def test_rows_are_usable_where_no_filter_finds_a_fault_and_both_texts_ended(tmp_path):
    rows = [
        kept(0, "Name a bee.", "Maja."),
        kept(1, "Name a bee!", "Maja."),  # the same again
        kept(2, "Write about a mat.", LOOP),
        kept(3, "Can you help me to find a bee?", "I'm sorry, but as an AI I can't help with that."),
        kept(4, "Tell me of rain.", "It falls", finish_reason="length"),
        kept(5, "How can I help you today?", "Thanks."),
        rejected(6, "magpie", "truncated_instruction", response=None, messages=None),
        rejected(7, instruction="Sing of tea.", response="Tea, o tea."),
    ]
    found = soundness(run(tmp_path, rows))
    assert (found.rows, found.tokens) == (8, 40)
    shares = {name: round(share * 8) if name in ("kept", "usable") else share for name, share in found.shares.items()}
    assert (shares["kept"], shares["usable"]) == (6, 1)
    assert found.tokens_per("usable") == 40 and found.tokens_per("kept") == pytest.approx(40 / 6)
    assert shares["asked_ended"] == 7 / 8 and shares["asked_odd"] == 1 / 8 and shares["new"] == 5 / 6
    assert shares["said_ended"] == 6 / 7
    assert (shares["loop"], shares["refusal"], shares["copy"], shares["said_odd"]) == (1 / 7, 1 / 7, 0, 0)


def test_a_large_run_is_judged_by_a_sample_that_weighs_kept_and_rejected_rows_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.report.soundness.MOST_ROWS", 4)
    rows = [kept(n, f"{n} birds fly where?", "South.") for n in range(30)] + [rejected(n) for n in range(30, 40)]
    assert soundness(run(tmp_path, rows)).shares["kept"] == pytest.approx(0.75)


def test_the_best_run_has_the_most_usable_rows_for_its_tokens(tmp_path):
    good = [kept(n, f"Why is {word} so?", "It is.") for n, word in enumerate(["rain", "tea", "snow", "gold"])]
    runs = [
        run(tmp_path / "a", [*good[:2], rejected(2), rejected(3)], identity={"seed": 1}),
        run(tmp_path / "b", good, identity={"seed": 2}),
        run(tmp_path / "c", [rejected(n) for n in range(4)], identity={"seed": 3}),
    ]
    comparison = Comparison.of(runs)
    assert comparison.best == 1
    assert settings(runs) == [("seed", [1, 2, 3])]
    lines = list(comparison.lines())
    assert [line.split()[:5] for line in lines[2:]] == [
        ["A", "1", "4", "50%", "50%"],
        ["*B", "2", "4", "100%", "100%"],
        ["C", "3", "4", "0%", "0%"],
    ]
    assert lines[4].split()[-2:] == ["–", "–"]


def test_there_is_no_best_run_where_none_has_a_usable_row(tmp_path):
    runs = [run(tmp_path / name, [rejected(0)]) for name in "ab"]
    assert Comparison.of(runs).best is None and Comparison.of(runs).near_best == []


def test_runs_that_differ_in_many_keys_are_told_apart_by_their_names(tmp_path):
    one = run(tmp_path / "one", [kept(0)], identity={"model": {str(n): n for n in range(9)}})
    other = run(tmp_path / "other", [kept(0)])
    assert Comparison.of([one, other]).names == [("run", ["one", "other"])]


def test_keys_are_shown_by_their_shortest_ends_that_differ(tmp_path):
    strategies = ({"a": {"t": 1, "p": 1}, "b": {"t": 1}}, {"a": {"t": 2, "p": 2}, "b": {"t": 3}})
    runs = [run(tmp_path / str(n), [kept(0)], identity={"strategy": one}) for n, one in enumerate(strategies)]
    assert [name for name, _ in Comparison.of(runs).names] == ["p", "a.t", "b.t"]


def test_any_number_of_runs_has_one_table_and_one_page(tmp_path, capsys):
    folders = [make_run(tmp_path / f"n{n}", [kept(0, f"<b>{n}")], identity={"seed": n}) for n in range(5)]
    assert main(list(map(str, folders))) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in out[2:-1]] == [[("*" if n == 0 else "") + letter(n), str(n)] for n in range(5)]
    assert out[-1] == f"The report is in {folders[0]}/comparison.html"
    text = (folders[0] / "comparison.html").read_text()
    assert "comparison of 5 runs" in text and "<b>0" not in text and 'data-runs="5"' in text


def test_there_are_letters_for_few_runs_and_numbers_for_more():
    assert [letter(place) for place in (0, 25, 26)] == ["A", "Z", "27"]
