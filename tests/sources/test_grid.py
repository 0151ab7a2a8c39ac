"""A grid: its columns are a function of the seed and the record's number, and what can't be drawn is named at once."""

import json
import math
from collections import Counter

import pytest
from datasets import load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.components.instantiate import build, construct
from synth.errors import ConfigError
from synth.run import main
from synth.sources import Source
from synth.sources.grid import SHIPPED, Grid
from synth.sources.store import rows_of, stored
from tests.strategies import composed, made

FAST = "engine=simulated engine.tokens_per_second=5000 engine.first_token_s=0 engine.median_tokens=8".split()
PEOPLE = [{"name": f"person {n}", "age": 20 + n} for n in range(7)]
DRAW = {
    "category": {"math": 2, "code": 1, "art": 0},
    "topic": {"given": "category", "cases": {"math": ["sums", "angles"], "code": {"loops": 3, "tests": 1}}},
    "level": {"min": 1, "max": 5},
    "share": {"min": 0.0, "max": 1.0, "step": 0.25},
    "heat": {"min": -1, "max": 2.5},
    "day": {"first": "2024-02-28", "last": "2024-03-01"},
    "asked": {"template": "{{ who }} asks about {{ topic }}"},
    "age": {"row_of": "who", "column": "age", "type": "int64"},
    "who": {"rows": "people.jsonl", "column": "name"},
}


@pytest.fixture
def people(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(one) + "\n" for one in PEOPLE))


def grid(draw):
    return construct(Grid, {"draw": draw}, "source")


def drawn(draw, numbers, seed=0):
    source = grid(draw)
    return [source.drawn(seed, number, Read(source)) for number in numbers]


class Read(list):
    """What a source read, in memory."""

    def __init__(self, source):
        super().__init__(source.read())

    def row(self, number):
        return self[number]


def test_each_column_is_drawn_from_its_distribution(people):
    rows = drawn(DRAW, range(300))
    assert [*rows[0]] == [*DRAW]
    assert {row["category"] for row in rows} == {"math", "code"}
    assert all(
        row["topic"] in (("sums", "angles") if row["category"] == "math" else ("loops", "tests")) for row in rows
    )
    assert {row["level"] for row in rows} == {1, 2, 3, 4, 5}
    assert {row["share"] for row in rows} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all(-1 <= row["heat"] <= 2.5 for row in rows) and len({row["heat"] for row in rows}) == 300
    assert {row["day"] for row in rows} == {"2024-02-28", "2024-02-29", "2024-03-01"}
    assert all(row["asked"] == f"{row['who']} asks about {row['topic']}" for row in rows)
    assert all({"name": row["who"], "age": row["age"]} in PEOPLE for row in rows)


def test_weights_are_the_shares_in_the_long_run():
    found = Counter(row["category"] for row in drawn({"category": {"math": 3, "code": 1}}, range(4000)))
    assert math.isclose(found["math"], 3000, abs_tol=120)


def test_each_row_of_a_dataset_comes_once_before_any_comes_again(people):
    names = [row["who"] for row in drawn({"who": DRAW["who"]}, range(28))]
    passes = [names[at : at + 7] for at in range(0, 28, 7)]
    assert all(len(set(one)) == 7 for one in passes) and len({*map(tuple, passes)}) > 1


def test_two_datasets_are_told_apart(people):
    draw = {"who": DRAW["who"], "other": {"rows": "synth:personas", "column": "persona"}}
    rows = drawn(draw, range(50))
    assert {row["who"] for row in rows} == {one["name"] for one in PEOPLE}
    assert len({row["other"] for row in rows}) == 50


def test_cases_may_draw_rows_too(people):
    who = {"given": "kind", "cases": {"shipped": {"rows": "synth:personas", "column": "persona"}}, "otherwise": ["x"]}
    rows = drawn({"kind": ["shipped", "none"], "who": who}, range(60))
    assert all((row["who"] == "x") == (row["kind"] == "none") for row in rows)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(-(2**40), 2**40), numbers=st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_a_row_is_a_function_of_the_seed_and_the_number(tmp_path_factory, seed, numbers):
    path = tmp_path_factory.mktemp("people") / "people.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in PEOPLE))
    draw = DRAW | {"who": {"rows": str(path), "column": "name"}}
    alone = {number: drawn(draw, [number], seed)[0] for number in numbers}
    assert drawn(draw, numbers, seed) == [alone[number] for number in numbers]
    fewer = {name: draw[name] for name in ("level", "category", "who")}  # in another order
    assert [*map(dict.items, drawn(fewer, numbers, seed))] == [
        {name: alone[number][name] for name in fewer}.items() for number in numbers
    ]


def test_another_seed_draws_other_rows():
    draw = {"level": {"min": 1, "max": 1000}}
    assert drawn(draw, range(20), seed=1) != drawn(draw, range(20), seed=2)


def test_what_was_drawn_comes_from_the_runs_folder_not_from_the_file(people, tmp_path):
    source = build({"_target_": "synth.sources.grid.Grid", "draw": DRAW}, "source", Source)
    with stored(source, tmp_path / "source") as (contents, put_in_place):
        put_in_place()
    assert (contents.size, contents.rows, contents.columns) == (None, 7, [*DRAW])
    before = drawn(DRAW, range(20))
    (tmp_path / "people.jsonl").unlink()
    rows = rows_of(grid(DRAW), tmp_path / "source", 0)
    assert [rows.row(number) for number in range(20)] == before


def test_two_hundred_personas_are_shipped_all_different():
    lines = SHIPPED["personas"].read_text().splitlines()
    personas = {json.loads(line)["persona"] for line in lines}
    assert len(lines) == len(personas) == 200
    assert all(20 < len(persona) < 120 for persona in personas)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        ({}, "source.draw: needs at least one column"),
        ({"a": {"valuse": ["x"]}}, "source.draw.a.valuse: no distribution has this key; did you mean 'values'?"),
        ({"a": {"values": ["x"], "wieghts": [1]}}, "source.draw.a.wieghts: no such key; did you mean 'weights'?"),
        ({"a": {"math": "two"}}, "source.draw.a.math: a weight must be a number, got 'two'"),
        ({"a": {"values": {"math": True}}}, "source.draw.a.values.math: a weight must be a number, got True"),
        ({"a": {"values": ["x"], "weights": ["y"]}}, "source.draw.a.weights[0]: must be a number, got 'y'"),
        ({"a": {"math": -1}}, "source.draw.a: weights: must be at least 0, got -1"),
        ({"a": {"math": 0}}, "source.draw.a: weights: at least one must be above 0"),
        ({"a": {"values": ["x", "y"], "weights": [1]}}, "source.draw.a: weights: 1 for 2 values"),
        ({"a": ["x", "x"]}, "source.draw.a: values: has 'x' twice"),
        ({"a": ["x", 1]}, "source.draw.a: its values are of several types: int64, string"),
        ({"a": {"min": 3, "max": 1}}, "source.draw.a: max: must be at least min=3, got 1"),
        ({"a": {"min": 3}}, "source.draw.a.max: is missing"),
        ({"a": {"mn": 3, "max": 1}}, "source.draw.a.mn: no such key; did you mean 'min'?"),
        ({"a": {"first": "2020-13-01", "last": "2021-01-01"}}, "source.draw.a.first: must be a day such as 2026-01-31"),
        ({"a": {"template": "{{ b"}}, "source.draw.a.template: line 1: unexpected end of template"),
        ({"a": {"template": "{{ topik }}"}, "topic": ["x"]},
         "source.draw.a.template: the grid has no column 'topik'; did you mean 'topic'?"),
        ({"a": {"template": "{{ b }}"}, "b": {"template": "{{ a }}"}},
         "source.draw.a: depends on itself: a → b → a"),
        ({"a": {"given": "categry", "cases": {"x": [1]}}, "category": ["x"]},
         "source.draw.a.given: the grid has no column 'categry'; did you mean 'category'?"),
        ({"a": {"given": "b", "cases": {"mth": [1]}}, "b": ["math"]},
         "source.draw.a.cases: 'b' is never 'mth'; did you mean 'math'?"),
        ({"a": {"given": "b", "cases": {"math": [1]}}, "b": ["math", "code"]},
         "source.draw.a.cases: has none for b 'code'; add it, or `otherwise`"),
        ({"a": {"given": "b", "cases": {"math": [1]}}, "b": {"template": "x"}}, "source.draw.a.otherwise: is missing"),
        ({"a": {"given": "b", "cases": {"math": {"vals": 1, "x": "y"}}}, "b": ["math"]},
         "source.draw.a.cases.math.vals: no distribution has this key; did you mean 'values'?"),
        ({"a": {"row_of": "b", "column": "x"}, "b": ["y"]}, "source.draw.a.row_of: 'b' is not drawn from rows"),
        ({"a": {"rows": "synth:person"}},
         "source.draw.a.rows: Synth does not ship 'synth:person'; did you mean 'personas'?"),
        ({"seed": [1]}, "source.draw.seed: is a column that every dataset has"),
        ({"a b": [1]}, "source.draw.a b: column names consist of letters, digits and _"),
    ],
)  # fmt: skip
def test_what_can_not_be_drawn_is_named_with_its_key(draw, expected):
    with pytest.raises(ConfigError) as caught:
        grid(draw)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ({"rows": "peple.jsonl"}, "source.draw.who.rows: there is no file 'peple.jsonl'; did you mean 'people.jsonl'?"),
        (
            {"rows": "people.jsonl"},
            "source: people.jsonl:1: has no 'who', only name, age; set source.bad_rows=set_aside",
        ),
        ({"rows": "people.jsonl", "column": "age"}, "source: people.jsonl:1: 'age' is 20, but must be string"),
    ],
)
def test_rows_that_can_not_be_drawn_are_named(people, capsys, who, expected):
    words = ["+strategy=text_generation", "source=grid", f"source.draw={{instruction: [x], who: {hydra(who)}}}", *FAST]
    assert main([*words, "dry_run=true"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}")


def hydra(node):
    return "{" + ", ".join(f"{key}: {value}" for key, value in node.items()) + "}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["num_records=all"], "num_records: a grid of topic has no end; set the number of records to keep"),
        (["+source.limit=3"], "source.limit: is for rows that are read; a grid draws records without end"),
        (["strategy.text_generation.template='{{ topik }}'"],
         "strategy.text_generation: reads the column 'topik', which a grid of topic does not draw; did you mean"),
        (["strategy.text_generation.output=topic"],
         "source.draw.topic: the step text_generation adds a column of this name; rename the drawn one"),
    ],
)  # fmt: skip
def test_what_a_grid_does_not_go_with_is_said_before_anything_starts(capsys, words, expected):
    given = ["+strategy=text_generation", "source=grid", "source.draw.topic=[bees, rain]", "dry_run=true"]
    assert main([*given, "strategy.text_generation.template='About {{ topic }}'", *FAST, *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}")


def test_a_run_has_as_many_records_as_asked_for_with_what_was_drawn_beside_them(people, tmp_path, capsys):
    template = "strategy.text_generation.template='{% if level > 3 %}Hard: {% endif %}{{ asked }}.'"
    words = ["+strategy=text_generation", template, "source=grid", f"output_dir={tmp_path / 'run'}", *FAST]
    (tmp_path / "mine" / "source").mkdir(parents=True)
    (tmp_path / "mine" / "source" / "people.yaml").write_text(
        json.dumps({"_target_": "synth.sources.grid.Grid", "draw": DRAW})
    )
    words = ["--config-dir", str(tmp_path / "mine"), *words, "source=people"]
    assert main([*words, "num_records=20"]) == 0
    data = load_from_disk(tmp_path / "run" / "dataset")
    assert data["id"] == [str(number) for number in range(20)]
    expected = drawn(DRAW, range(20))
    assert [{name: row[name] for name in DRAW} for row in data] == expected
    assert data["instruction"] == [f"{'Hard: ' * (row['level'] > 3)}{row['asked']}." for row in expected]
    assert main([*words, "num_records=20"]) == 0  # nothing is left to do
    capsys.readouterr()
    assert main([*words, "num_records=20", "source.draw.level.max=6"]) == 2
    assert "is of another run: source.draw.level.max was 5, is 6" in capsys.readouterr().err


async def test_a_worker_draws_the_rows_and_a_template_that_does_not_fit_one_ends_that_record_alone(tmp_path):
    draw = "source.draw={n: [0, 1], instruction: {template: '{{ 1 // n }}'}}"
    words = ["source=grid", draw, "strategy.text_generation.template='{{ n }}'", *FAST]
    config = composed("text_generation", tmp_path / "run", 10, None, *words)
    _, kept, rejected = await made(config, tmp_path / "run", 10)
    assert kept and {row["n"] for row in kept} == {1}
    assert {(row["rejected_by"], row["reason"]) for row in rejected} == {("source", "template_failed")}
    expected = {row["n"]: row for row in kept}
    assert len(kept) + len(rejected) == 10 and expected[1]["instruction"] == "1"


@pytest.mark.parametrize("strategy", ["persona", "magpie_grid"])
async def test_shipped_strategies_draw_from_the_shipped_tasks(strategy, tmp_path):
    _, kept, rejected = await made(composed(strategy, tmp_path / "run", 12, None, *FAST), tmp_path / "run", 12)
    rows = kept + rejected
    assert len({row["persona"] for row in rows}) == 12
    assert all(row["category"] and row["task"] and row["difficulty"] and row["length"] for row in rows)
    prompts = [one["text"] for row in rows for one in row["lineage"] if one["operation"] in ("prompt", "system_prompt")]
    assert len(prompts) == 12
    assert all(any(row["persona"] in prompt and row["task"] in prompt for prompt in prompts) for row in rows)
