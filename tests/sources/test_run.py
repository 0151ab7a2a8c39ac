"""Whole runs over a source, from the command line to the dataset, on the simulated engine."""

import json

import pytest
from datasets import load_from_disk

from synth.run import main

TOPICS = ["bees", "{{ 7 * 7 }}", "tea\0é"]
FAST = "engine=simulated engine.tokens_per_second=5000 engine.first_token_s=0 engine.median_tokens=8".split()


def command(folder, *overrides):
    template = 'strategy.text_generation.template="About {{ topic }}."'
    given = ["+strategy=text_generation", "source=file", template, f"output_dir={folder / 'run'}"]
    return main([*given, f"source.path={folder}/seeds.jsonl", *FAST, *overrides])


@pytest.fixture
def folder(tmp_path):
    lines = [json.dumps({"topic": topic}) for topic in TOPICS]
    lines.insert(1, '{"topic": torn')
    (tmp_path / "seeds.jsonl").write_text("\n".join(lines))
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\n")
    return tmp_path


@pytest.fixture
def refusal(folder, capsys):
    def refusal(*overrides):
        assert command(folder, *(override.replace("{folder}", str(folder)) for override in overrides)) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1
        return err.removeprefix("error: ").replace(f"{folder}/", "")

    return refusal


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "source: seeds.jsonl:2: is not JSON: Expecting value (column 11)"),
        (["dry_run=true"], "source: seeds.jsonl:2: is not JSON: Expecting value (column 11)"),
        (["source.path=seed.jsonl"], "source.path: there is no file 'seed.jsonl'"),
        (["source.path={folder}/empty.jsonl"], "source: empty.jsonl has no rows\n"),
        (["source.path={folder}/bad.jsonl", "source.bad_rows=set_aside"], "source: bad.jsonl has no rows but 1 bad"),
        (["source.limt=1"], "source.limt: no such key; did you mean 'source.limit'?"),
        (["source.bad_rows=skip"], "source.bad_rows: must be 'stop' or 'set_aside', got 'skip'"),
        (["source.limit=1", 'strategy.text_generation.template="{{ topik }}"'],
         "strategy.text_generation: reads the column 'topik', which seeds.jsonl lacks; did you mean 'topic'?"),
        (['strategy.text_generation.template="{{ topic"'], "strategy.text_generation.template: line 1: unexpected end"),
        (["source=hub"], "source.path: no such key"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_said_before_anything_starts(refusal, overrides, expected):
    assert refusal(*overrides).startswith(expected)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "strategy.text_generation: reads the column 'instruction', which source=none lacks"),
        (
            ["num_records=all"],
            "num_records: all needs a source with an end; choose source=file, source=hub or source=documents",
        ),
        (
            ["source.path=seeds.jsonl"],
            "source.path: no source is chosen; choose from batch, documents, file, grid, ",
        ),
        (
            ["+source.path=seeds.jsonl"],
            "source.path: no source is chosen; choose from batch, documents, file, grid, ",
        ),
        (["source=file"], "source.path: is missing"),
        (["source=hub"], "source.name: is missing"),
    ],
)
def test_a_source_that_is_not_chosen_is_said_before_anything_starts(capsys, overrides, expected):
    assert main(["+strategy=text_generation", "dry_run=true", *FAST, *overrides]) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}")


def test_a_dry_run_tells_the_number_of_rows(folder, capsys):
    assert command(folder, "dry_run=true", "source.bad_rows=set_aside", "num_records=all") == 0
    output = capsys.readouterr().out.replace(f"{folder}/", "")
    assert "source    3 rows of seeds.jsonl, 1 bad ones set aside\n" in output
    assert "records   all of the source\n" in output
    assert "at most 1 per record, 3 in all" in output
    assert {path.name for path in folder.iterdir()} == {"seeds.jsonl", "empty.jsonl", "bad.jsonl"}


def test_every_row_of_a_source_becomes_records_and_a_changed_source_is_refused(folder, refusal, capsys):
    overrides = ["source.bad_rows=set_aside", "num_records=all", "strategy.text_generation.samples=2"]
    assert command(folder, *overrides) == 0
    data = load_from_disk(folder / "run" / "dataset")
    assert data["id"] == ["0/0", "0/1", "1/0", "1/1", "2/0", "2/1"]
    assert data["instruction"] == [f"About {topic}." for topic in TOPICS for _ in range(2)]
    assert all(data["response"])
    bad = json.loads((folder / "run" / "source" / "bad_rows.jsonl").read_text())
    assert bad["line"] == 2
    assert command(folder, *overrides) == 0  # nothing is left to do
    capsys.readouterr()
    (folder / "seeds.jsonl").write_text('{"topic": "other"}\n')
    assert "is of another run: source.content was " in refusal(*overrides)
