"""Several runs in one dataset: every row of each, told apart by its run."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth import export, show
from synth.merge import main
from synth.records import TOOLS, messages_with
from synth.report import __main__ as report
from tests.storage.rows import run_of


def merged(*runs, into):
    return main([*(str(run.path) for run in runs), "--into", str(into)])


def rows_of(folder):
    return datasets.load_from_disk(str(folder / "dataset")).to_list()


@pytest.fixture
def two(tmp_path):
    one = run_of(tmp_path / "one", *({"response": f"one {n}"} for n in range(5)), shards=2)
    other = run_of(tmp_path / "other", *({"response": f"other {n}"} for n in range(3)), seed=2)
    return one, other


def test_all_rows_are_there_with_their_ids_and_the_name_of_their_run(two, tmp_path, capsys):
    assert merged(*two, into=tmp_path / "both") == 0
    assert "8 records" in capsys.readouterr().out
    rows = rows_of(tmp_path / "both")
    assert [(row["run"], row["id"]) for row in rows] == [
        *(("one", str(n)) for n in range(5)),
        *(("other", str(n)) for n in range(3)),
    ]
    assert [row["response"] for row in rows[3:6]] == ["one 3", "one 4", "other 0"]


def test_the_runs_are_left_as_they_were(two, tmp_path):
    before = {path: path.read_bytes() for run in two for path in run.path.rglob("*.*") if path.is_file()}
    assert merged(*two, into=tmp_path / "both") == 0
    assert {path: path.read_bytes() for path in before} == before


def test_only_the_rows_that_each_run_was_asked_for_are_there(tmp_path):
    from synth.storage.manifest import Manifest

    one, other = run_of(tmp_path / "one", *({} for _ in range(6)), shards=2), run_of(tmp_path / "other", {}, seed=2)
    manifest = Manifest.read(one)
    manifest.num_records = 4
    manifest.write(one)
    assert merged(one, other, into=tmp_path / "both") == 0
    assert [row["id"] for row in rows_of(tmp_path / "both")] == ["0", "1", "2", "3", "0"]


def test_a_column_that_a_run_lacks_is_null_in_its_rows(tmp_path):
    one = run_of(tmp_path / "one", {"score": 0.5}, columns={"score": pa.float64()})
    other = run_of(tmp_path / "other", {"topic": "tea"}, columns={"topic": pa.string()}, seed=2)
    assert merged(one, other, into=tmp_path / "both") == 0
    rows = rows_of(tmp_path / "both")
    assert [(row["score"], row["topic"]) for row in rows] == [(0.5, None), (None, "tea")]


def test_turns_with_thoughts_and_tool_calls_go_with_plain_ones(tmp_path):
    call = [{"id": "0", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
    turns = [
        {"role": "user", "content": "Ask."},
        {"role": "assistant", "content": "", "reasoning_content": "Hm", "tool_calls": call},
    ]
    kinds = {"messages": messages_with(["reasoning_content"], tool_calls=True), TOOLS.name: TOOLS.type}
    plain = run_of(tmp_path / "plain", {})
    calling = run_of(tmp_path / "calling", {"messages": turns, "tools": "[]"}, columns=kinds, seed=2)
    assert merged(plain, calling, into=tmp_path / "both") == 0
    first, second = rows_of(tmp_path / "both")
    assert first["messages"][1]["content"] == "answer" and not first["messages"][1]["tool_calls"]
    assert second["messages"][1]["reasoning_content"] == "Hm"
    assert second["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}


def test_a_column_of_two_types_is_refused_with_both(tmp_path, capsys):
    one = run_of(tmp_path / "one", {"score": 0.5}, columns={"score": pa.float64()})
    other = run_of(tmp_path / "other", {"score": "high"}, columns={"score": pa.string()}, seed=2)
    assert merged(one, other, into=tmp_path / "both") == 2
    output = capsys.readouterr().err
    assert (
        output.startswith(f"error: {other.path}: column 'score' is string, and double in {one.path}")
        and len(output.splitlines()) == 1
    )
    assert not (tmp_path / "both").exists()


def test_a_column_named_run_is_refused(tmp_path, capsys):
    one = run_of(tmp_path / "one", {"run": "x"}, columns={"run": pa.string()})
    assert merged(one, run_of(tmp_path / "other", {}, seed=2), into=tmp_path / "both") == 2
    assert f"{one.path}: has a column 'run' already" in capsys.readouterr().err


def test_the_same_rows_twice_are_refused(two, tmp_path, capsys):
    import shutil

    shutil.copytree(two[0].path, tmp_path / "copy")
    assert main([str(two[0].path), str(tmp_path / "copy"), "--into", str(tmp_path / "both")]) == 2
    expected = (
        f"error: {tmp_path / 'copy'}: is the same run as {two[0].path}, and both have records 0 to 2; leave one out\n"
    )
    assert capsys.readouterr().err == expected
    assert main([str(two[0].path), f"{two[0].path}/../one", "--into", str(tmp_path / "both")]) == 2
    assert "is given twice" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    one, other = run_of(tmp_path / "a/magpie", {}), run_of(tmp_path / "b/magpie", {}, seed=2)
    assert merged(one, other, into=tmp_path / "both") == 0
    assert [row["run"] for row in rows_of(tmp_path / "both")] == ["a/magpie", "b/magpie"]


@pytest.mark.parametrize("name", ["dataset/mine.txt", "README.md", "manifest.json"])
def test_a_folder_with_something_else_is_refused_and_left_as_it_is(two, tmp_path, name):
    path = tmp_path / "both" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert merged(*two, into=tmp_path / "both") == 2
    assert [path for path in (tmp_path / "both").rglob("*") if path.is_file()] == [path] and path.read_text() == "mine"


def test_one_of_the_runs_is_no_folder_for_all(two, capsys):
    assert merged(*two, into=two[0].path) == 2
    assert "is one of the runs" in capsys.readouterr().err


def test_a_merge_is_made_anew_when_its_runs_have_grown(two, tmp_path):
    assert merged(two[0], into=tmp_path / "both") == 0
    assert merged(*two, into=tmp_path / "both") == 0
    assert len(rows_of(tmp_path / "both")) == 8


def test_the_card_and_the_settings_name_every_run(two, tmp_path):
    assert merged(*two, into=tmp_path / "both") == 0
    card = (tmp_path / "both/README.md").read_text()
    assert "8 synthetic conversations of 2 runs" in card
    assert "| `one` | 5 |" in card and "| `other` | 3 |" in card
    runs = json.loads((tmp_path / "both/runs.json").read_text())["runs"]
    assert [(run["run"], run["rows"], run["configurations"][0]["identity"]["seed"]) for run in runs] == [
        ("one", 5, 1),
        ("other", 3, 2),
    ]


def test_the_merged_folder_is_exported_like_a_run_and_the_rest_says_that_it_is_none(two, tmp_path, capsys):
    both = str(tmp_path / "both")
    assert merged(*two, into=both) == 0
    assert export.main([both, "--output-dir", str(tmp_path / "out")]) == 0
    assert pq.read_table(tmp_path / "out/data/train-00000.parquet")["run"].to_pylist() == ["one"] * 5 + ["other"] * 3
    card = (tmp_path / "out/README.md").read_text()
    assert "runs.json" not in card and "load_dataset(" in card
    assert export.main([both, "--format", "sharegpt", "--output-dir", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    for command in (show.main, report.main):
        assert command([both]) == 2
        assert f"it is merged from {two[0].path}, {two[1].path}" in capsys.readouterr().err


VALUES = {
    "text": (pa.string(), st.one_of(st.none(), st.text(max_size=5))),
    "number": (pa.float64(), st.one_of(st.none(), st.floats(-9, 9))),
    "texts": (pa.list_(pa.string()), st.one_of(st.none(), st.lists(st.text(max_size=3), max_size=3))),
}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_columns_runs_have_each_row_keeps_its_values(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("union")
    runs, expected = [], []
    for number in range(data.draw(st.integers(1, 3))):
        columns = {f"{name}": VALUES[name][0] for name in data.draw(st.sets(st.sampled_from(sorted(VALUES))))}
        row = st.fixed_dictionaries({name: VALUES[name][1] for name in columns})
        rows = data.draw(st.lists(row, min_size=1, max_size=4))
        runs.append(run_of(folder / str(number), *rows, columns=columns, shards=2, seed=number))
        expected += [{"run": str(number), "id": str(place)} | row for place, row in enumerate(rows)]
    assert merged(*runs, into=folder / "all") == 0
    found = rows_of(folder / "all")
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert {name: row[name] for name in wanted} == wanted
        assert all(row[name] is None for name in VALUES.keys() & row.keys() - wanted.keys())
