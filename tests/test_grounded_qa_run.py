"""grounded_qa over a folder of documents, from the command line to the export, on an engine that can read."""

import pytest
from datasets import load_from_disk

from synth import draw, export
from synth.run import main
from tests.damage import without_ray

NAMES = "Ada Bo Cem Dina Eva Finn Gus Hana Ivo Jana".split()


@pytest.fixture(scope="module", autouse=True)
def _without_ray():
    with without_ray():
        yield


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for at, name in enumerate(NAMES):
        text = f"# {name}\n\n{name} has {20 + at} bees.\n\n## More\n\n{name} has {40 + at} hives."
        (tmp_path / "in" / f"{name}.md").write_text(text)
    (tmp_path / "in" / "known.md").write_text("Everybody has 7 hats.")
    (tmp_path / "in" / "copy.md").write_text((tmp_path / "in" / "Ada.md").read_text())
    (tmp_path / "in" / "broken.pdf").write_bytes(b"%PDF-1.4")
    return tmp_path


def run(folder, *overrides, out="run"):
    engine = ["engine=simulated", "engine._target_=tests.reading_engine.Reader", "engine.tokens_per_second=10000"]
    source = ["source=documents", f"source.path={folder / 'in'}", "source.bad_rows=set_aside"]
    kinds = ["strategy.questions.kinds=[factual]", "strategy.questions.questions=2"]
    given = ["+strategy=grounded_qa", *engine, "engine.first_token_s=0", *source, *kinds, "min_yield=0"]
    return main([*given, "num_records=all", f"output_dir={folder / out}", *overrides])


def rows(folder, out="run"):
    return load_from_disk(str(folder / out / "dataset")).to_list()


def test_rows_are_questions_with_answers_that_stand_in_their_passage(folder, capsys):
    assert run(folder) == 0
    found = rows(folder)
    assert {row["document"] for row in found} >= {f"in/{name}.md" for name in NAMES[1:]}
    for row in found:
        assert row["response"] in row["context"]
        assert row["closed_book"] == "I can't know." and row["question_kind"] == "factual"
        assert [turn["content"] for turn in row["messages"]] == [row["question"], row["response"]]
    assert not any(row["document"] == "in/known.md" for row in found)
    assert len({row["question"] for row in found}) == len(found)
    output = capsys.readouterr()
    assert "needs_no_passage" in output.out and "near_duplicate" in output.out and "1 bad" in output.out + output.err


def test_a_run_that_goes_on_gives_what_one_without_a_stop_gives(folder):
    assert run(folder, "num_records=3", "shard_size=2") == 0
    assert run(folder, "shard_size=2") == 0
    assert run(folder, "shard_size=5", out="whole") == 0
    assert rows(folder) == rows(folder, "whole")


def test_it_is_planned_drawn_and_exported(folder, capsys):
    assert run(folder, "dry_run=true") == 0
    planned = capsys.readouterr().out
    assert "questions → duplicates → answer → grounded → needs_passage" in planned
    assert "Passage:" in planned and not (folder / "run").exists()
    assert draw.main(["+strategy=grounded_qa"]) == 0
    assert "needs_passage" in capsys.readouterr().out
    assert run(folder) == 0
    assert export.main([str(folder / "run"), "--format", "alpaca", "--output-dir", str(folder / "out")]) == 0
    (file,) = (folder / "out").rglob("*.json*")
    assert all(row["question"] in file.read_text() for row in rows(folder))
