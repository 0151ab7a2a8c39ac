"""The door that writes a report, and what stands in it."""

import json
import re

import pytest

from synth.report.__main__ import main
from tests.error_lines import check_line
from tests.report.runs import kept, make_run, rejected

SNAPSHOTS = [{"time": 5.0 * n, "replicas_ready": 1, "completion_tokens": n, "tokens_per_second": 9.0 * n, "kept": n}
             for n in range(4)]  # fmt: skip


@pytest.fixture
def run(tmp_path):
    rows = [kept(n, f"Write story {n}.", quality="good", judge_score=n % 5 + 1) for n in range(40)]
    rows += [rejected(n, quality=None, judge_score=1) for n in range(40, 50)]
    columns = {"quality": "string", "judge_score": "int64"}
    return make_run(tmp_path / "mine", rows, columns, snapshots=SNAPSHOTS, num_records=30)


def page(path):
    text = path.read_text()
    return text, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_a_report_is_written_into_the_run_folder(run, capsys):
    assert main([str(run)]) == 0
    assert capsys.readouterr().out == f"The report is in {run}/report.html\n"
    _, words = page(run / "report.html")
    for told in ("rows kept 40", "yield 80%", "low_score 10 20%", "completion tokens per kept row 6.25",
                 "30 rows were asked for", "judge_score median 3", "kept rows/s per engine 2.67"):  # fmt: skip
        assert told in words


def test_a_report_tells_what_ends_and_steps_took(run):
    main([str(run)])
    _, words = page(run / "report.html")
    assert "judge: low_score 10 50 5 20% 5 20% 30 100" in words
    assert "magpie 15 160 80 3.75 40 20" in words
    assert "0.625 engine-seconds per kept row" in words


def test_a_report_asks_for_nothing_from_elsewhere(run):
    main([str(run)])
    text, _ = page(run / "report.html")
    assert not re.search(r"https?:|<link|@import|url\(|src=", text)


def test_two_runs_are_compared_with_the_settings_that_differ(run, tmp_path):
    step = {"_target_": "a.Magpie", "system_prompts": "Be brief."}
    strategy = {"name": "mine", "magpie": step, "steps": [step]}
    other = make_run(tmp_path / "other", [kept(3), rejected(4, "magpie")], identity={"strategy": strategy})
    assert main([str(run), str(other)]) == 0
    _, words = page(run / "comparison.html")
    assert "strategy.magpie.system_prompts null Be brief." in words
    assert "strategy.steps[0].system_prompts" not in words
    assert "with the same ids where the runs have them" in words


def test_a_run_without_rows_has_a_report(tmp_path):
    assert main([str(make_run(tmp_path, []))]) == 0
    _, words = page(tmp_path / "report.html")
    assert "No row is committed yet." in words and "fewer than two lines" in words


def test_a_run_that_kept_nothing_has_a_report(tmp_path):
    assert main([str(make_run(tmp_path, [rejected(0)]))]) == 0
    assert "yield 0%" in page(tmp_path / "report.html")[1]


def test_what_is_sampled_says_of_how_many(tmp_path):
    run = make_run(tmp_path, [kept(n, f"a {n}" + "x" * 3000) for n in range(400)])
    main([str(run)])
    text, words = page(run / "report.html")
    assert "300 of 400 kept and 0 of 0 rejected rows" in words
    rows = json.loads(re.search(r'id="data">(.*?)</script>', text).group(1))
    assert len(rows) == 300 and rows[0]["turns"][0][1].endswith("… (1,003 more characters)")


@pytest.mark.parametrize("folder", ["none", "."])
def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2(tmp_path, capsys, folder):
    assert main([str(tmp_path / folder)]) == 2
    check_line(capsys.readouterr().err, f"error: {tmp_path / folder}", "no run", "manifest.json")


def test_a_file_that_cannot_be_written_is_one_line_and_exit_code_2(run, capsys):
    assert main([str(run), "--output", f"{run}/none/report.html"]) == 2
    assert "none/report.html can't be written (No such file or directory)" in capsys.readouterr().err
