"""The door that shows a run in the terminal."""

import io
import re

from rich.console import Console

from synth.inspect import main
from synth.records import Finished, Shard
from synth.report.run_data import Run
from synth.storage.journal import Journal, owner_of
from tests.error_lines import check_line
from tests.report.runs import kept, make_run, rejected

EVIL = "[bold]x[/]\x1b[31m\u202e"


def shown(*arguments, width=200):
    out = io.StringIO()
    assert (
        main([str(argument) for argument in arguments], Console(file=out, width=width, highlight=False, markup=False))
        == 0
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_counts_yield_lengths_and_labels_are_shown(tmp_path):
    rows = [kept(n, quality="good") for n in range(3)] + [rejected(3, quality=None)]
    text = shown(make_run(tmp_path, rows, {"quality": "string"}, num_records=3))
    assert f"mine in {tmp_path}" in text
    assert "3 kept of 3 asked for, 1 rejected" in text
    assert "20 generated, 40 prompt tokens, 8 of them cached" in text
    assert "7 tokens and 0.667 engine-seconds, including rejected rows" in text
    assert "judge: low_score  ██████                 1    25%       5       0.5" in text
    assert "median 14 characters, 90 % from 14 to 14" in text
    assert "good 3" in text


def test_rows_are_shown_as_many_as_asked_for(tmp_path):
    run = make_run(tmp_path, [kept(n, f"Say {n}.") for n in range(10)])
    text = shown(run, "--rows", "2")
    assert "0 user: Say 0." in text and "5 user: Say 5." in text and "1 user" not in text
    assert "user:" not in shown(run, "--rows", "0")


def test_a_run_that_goes_on_shows_what_is_finished(tmp_path):
    run = Run.open(make_run(tmp_path, [kept(n) for n in range(4)], shard_size=2))
    del run.manifest.committed[1]
    run.manifest.write(run.folder)
    run.folder.shard(1).unlink()
    journal = Journal.open(run.folder.journal(1), {}, owner_of(Shard(1, 2, 4), run.manifest.fingerprint))
    journal.append(Finished(2, [kept(2)]))
    journal.sync()
    text = shown(tmp_path)
    assert "1 of 2 committed; 1 more records finished, in journals" in text and "2 kept, 0 rejected" in text


def test_of_a_run_in_slices_each_is_shown_those_too_that_have_not_begun(tmp_path):
    for number in (0, 2):
        make_run(tmp_path / f"slices/{number}-of-3", [kept(0), rejected(1)], num_records=5)
    text = shown(tmp_path)
    assert f"mine in {tmp_path}, in slices" in text
    assert re.search(r"slice +kept +of +rejected +in journals\n +0/3 +1 +5 +1 +0\n +1/3 +not begun\n +2/3 ", text)


def test_what_is_piped_is_not_folded(tmp_path, capsys):
    rows = [kept(number, quality=f"label of thirty letters, nr. {number}") for number in range(6)]
    assert main([str(make_run(tmp_path, rows, {"quality": "string"})), "--rows", "0"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "quality" in line]
    assert line.count("label of") == 6


def test_a_run_that_has_all_it_wants_does_not_look_unfinished(tmp_path):
    run = Run.open(make_run(tmp_path, [kept(n) for n in range(4)], shard_size=2, num_records=4))
    run.manifest.shards.append(Shard(2, 4, 6))  # in case that records had been rejected
    run.manifest.write(run.folder)
    assert re.search(r"shards +2 committed\n", shown(tmp_path))


def test_what_was_spent_at_each_step_is_shown(tmp_path):
    text = shown(make_run(tmp_path, [kept(0), kept(1), rejected(2)]))
    assert re.search(r"judge +2 +2 +0\.2 +1 +1 +0\.1\n", text)


def test_rows_rejected_for_a_reason_are_shown_with_it(tmp_path):
    few = [rejected(n, "filter", "too_short", messages=None, response=None) for n in range(2)]
    run = make_run(tmp_path, [*few, *(rejected(n, detail="2: vague") for n in range(2, 9)), kept(9, "Kept.")])
    text = shown(run, "--rejected", "low_score", "--rows", "2")
    assert "2 rejected by judge: low_score: 2: vague" in text and text.count("rejected by") == 2
    text = shown(run, "--rejected", "filter: too_short")
    assert "0 user: Write a story.\n0 rejected by filter: too_short" in text and "Kept." not in text


def test_a_reason_for_which_nothing_was_rejected_is_refused_with_the_nearest(tmp_path, capsys):
    assert main([str(make_run(tmp_path, [kept(0), rejected(1)])), "--rejected", "low_scores"]) == 2
    assert capsys.readouterr().err.endswith("no row was rejected as 'low_scores'; did you mean 'low_score'?\n")


def test_what_a_run_held_and_cost_is_that_of_all_its_processes(tmp_path):
    lines = [
        {"time": 1.0, "started": 0.0, "replica_seconds": 1800.0, "gpu_seconds": 3600.0, "cost": 2.0},
        {"time": 2.0, "started": 0.0, "replica_seconds": 3600.0, "gpu_seconds": 7200.0, "cost": 4.0},
        {"time": 9.0, "started": 8.0, "replica_seconds": 1800.0, "gpu_seconds": 1800.0, "cost": None},
    ]
    text = shown(make_run(tmp_path, [kept(n) for n in range(10)], snapshots=lines))
    assert re.search("reserved +1.5 engine-hours, 2.5 GPU-hours, cost 4.00, 400.00 per 1,000 kept rows", text)


def test_a_run_without_rows_is_shown(tmp_path):
    assert "0 kept, 0 rejected" in shown(make_run(tmp_path, []))


def test_control_characters_and_markup_are_spelled_out(tmp_path):
    rows = [kept(0, EVIL, EVIL, label=EVIL, id=EVIL), rejected(1, EVIL, EVIL, label=None)]
    identity = {"model": {"path": EVIL}, "seed": EVIL}
    text = shown(make_run(tmp_path, rows, {"label": "string"}, identity=identity))
    assert "\x1b" not in text and "\u202e" not in text
    assert text.count("[bold]x[/]\\x1b[31m\\u202e") >= 6


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    check_line(capsys.readouterr().err, f"error: {tmp_path}", "no run", "manifest.json")
