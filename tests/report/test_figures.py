"""What a run's rows add up to."""

import pytest

from synth.records import Spent, Usage
from synth.report.figures import measure
from synth.report.run_data import Run, spread
from synth.storage.manifest import Unreadable
from tests.report.runs import kept, make_run, rejected


def figures(tmp_path, rows, columns=None, **more):
    return measure(Run.open(make_run(tmp_path, rows, columns, **more)))


def test_rows_and_tokens_are_counted_by_outcome_over_all_shards(tmp_path):
    rows = [kept(0), rejected(1), kept(2), rejected(3), rejected(4, "magpie", "empty_response")]
    found = figures(tmp_path, rows, shard_size=2)
    assert (found.kept.rows, found.kept.usage) == (2, Usage(20, 4, 10))
    assert {key: cost.rows for key, cost in found.rejected.items()} == {
        ("magpie", "empty_response"): 1,
        ("judge", "low_score"): 2,
    }
    assert (found.wasted.usage.completion_tokens, found.total.rows) == (15, 5)


def test_rejections_stand_in_the_order_of_the_steps(tmp_path):
    found = figures(tmp_path, [rejected(0, "other"), rejected(1), rejected(2, "magpie"), rejected(3, "source")])
    assert [step for step, _ in found.rejected] == ["source", "magpie", "judge", "other"]


def test_what_calls_took_is_summed_by_end_and_by_step(tmp_path):
    found = figures(tmp_path, [kept(0), rejected(1), rejected(2), kept(3)], shard_size=3)
    assert found.spent_on("judge: low_score") == Spent(6, 20, 4, 10, 1.0)
    assert found.spent_on() == Spent(12, 40, 8, 20, 2.0)
    assert list(found.spent_at(["judge", "magpie"])) == ["judge", "magpie"]
    assert found.spent_at([])["magpie"] == (Spent(4, 12, 2, 8, 0.75), Spent(4, 12, 2, 8, 0.75))


def test_lengths_are_characters_and_null_texts_have_none(tmp_path):
    found = figures(tmp_path, [kept(0, "äöü", None), kept(1, "长长", "")])
    assert found.lengths["instruction"].tolist() == [3, 2]
    assert found.lengths["response"].tolist() == [0]


def test_columns_with_few_short_values_are_labels_and_others_are_texts(tmp_path):
    columns = {"quality": "string", "why": "string", "safe": "bool", "score": "double"}
    rows = [kept(n, quality="good" if n else None, why="x" * 50, safe=True, score=n / 2) for n in range(3)]
    found = figures(tmp_path, rows, columns)
    assert found.labels["quality"] == {"good": 2, None: 1}
    assert found.labels["safe"] == {"true": 3}
    assert "why" not in found.labels
    assert found.numbers["score"].tolist() == [0, 0.5, 1]


def test_not_a_number_is_left_out_of_scores(tmp_path):
    rows = [kept(0, score=float("nan")), kept(1, score=1.0), kept(2, score=float("inf")), kept(3, score=None)]
    assert figures(tmp_path, rows, {"score": "double"}).numbers["score"].tolist() == [1.0]


def test_equal_instructions_count_once(tmp_path):
    assert figures(tmp_path, [kept(0, "a"), kept(1, "b"), kept(2, "a")]).distinct == 2


def test_a_run_without_rows_has_figures(tmp_path):
    found = figures(tmp_path, [])
    assert (found.total.rows, found.lengths["response"].tolist(), found.labels) == (0, [], {})


def test_a_torn_shard_is_one_line_with_its_name(tmp_path):
    run = Run.open(make_run(tmp_path, [kept(n) for n in range(50)]))
    path = run.folder.shard(0)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(Unreadable, match=r"00000\.arrow: can't be read") as refusal:
        measure(run)
    assert "\n" not in str(refusal.value)


def test_a_folder_inside_a_run_is_answered_with_the_run(tmp_path):
    make_run(tmp_path, [kept(0)])
    with pytest.raises(Unreadable, match=rf"holds no run.*did you mean '{tmp_path}'"):
        Run.open(tmp_path / "shards")


def test_a_folder_that_holds_slices_only_names_the_first_of_them(tmp_path):
    make_run(tmp_path / "slices" / "1-of-3", [kept(0)])
    with pytest.raises(Unreadable, match=r"did you mean '.*/slices/1-of-3'"):
        Run.open(tmp_path)


def test_sampled_rows_are_spread_over_all_and_named_ones_come_first(tmp_path):
    run = Run.open(make_run(tmp_path, [kept(n) for n in range(100)], shard_size=30))
    assert [row["id"] for row in run.rows("kept", 4)] == ["0", "25", "50", "75"]
    assert [row["id"] for row in run.rows("kept", 3, ids=["99", "7", "none"])] == ["0", "7", "99"]
    assert [row["id"] for row in run.rows("kept", 0)] == []
    assert spread(3, 10) == [0, 1, 2]


def test_steps_have_the_names_that_rejections_call_them(tmp_path):
    step = {"_target_": "a.b.Judge"}
    strategy = {"name": "x", "judge": step, "steps": ["judge", "judge", {"_target_": "a.c.Tag"}]}
    assert Run.open(make_run(tmp_path, [], identity={"strategy": strategy})).steps == ["judge", "judge#2", "Tag"]
