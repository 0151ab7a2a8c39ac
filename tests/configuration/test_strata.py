"""The key `strata`: what it asks for, and what can't be filled, before anything is started."""

import pytest
from hydra import compose, initialize_config_dir

from synth.configuration.config_groups import CONF_DIR
from synth.configuration.hydra_errors import CommandLine
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.resumption.resume import manifest_of
from synth.sources.store import Contents
from synth.storage.run_folder import RunFolder

GRID = "source.draw={category: [math, code], level: {min: 1, max: 3}, note: {template: x}}"
TAG = "strategy.tag={_target_: synth.steps.tag.Tag, labels: {mood: [glad, sad]}}"


def config(*words, strategy="magpie"):
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        words = [f"+strategy={strategy}", "engine=simulated", "num_records=100", *words]
        return parse(compose("config", CommandLine(words).words))


def grid(*words):
    return config("source=grid", GRID, *words)


def test_shares_are_of_num_records_and_the_rest_is_for_the_others():
    made = grid("strata={category: {math: 0.3}, level: {1: 50, 2: 0.255}, note: {x: 1.0}}")
    assert made.strata.rows == {
        "category": {"math": 30, "(others)": 70},
        "level": {"1": 50, "2": 26, "(others)": 24},
        "note": {"x": 100, "(others)": 0},
    }


def test_two_steps_see_to_it_and_a_run_without_has_none():
    assert [step.name for step in grid().strategy.steps] == ["magpie"]
    made = grid("strata={category: {math: 0.3}}")
    assert [step.name for step in made.strategy.steps] == ["skip_full", "magpie", "strata"]
    assert made.strategy.columns == grid().strategy.columns


def test_the_numbers_are_part_of_what_a_run_is():
    one, other = (grid(f"strata={{category: {{math: {rows}}}}}").identity() for rows in (0.3, 30))
    assert one == other and one["strata"] == {"category": {"math": 30, "(others)": 70}}
    assert "strata" not in grid().identity()


def test_labels_of_a_tag_are_known_too():
    steps = "strategy.steps=[magpie,tag]"
    assert config("+" + TAG, steps, "strata={mood: {glad: 0.5}}").strata
    with pytest.raises(ConfigError, match=r"strata.mood.gald: 'mood' is never 'gald'; did you mean 'glad'\?"):
        config("+" + TAG, steps, "strata={mood: {gald: 0.5}}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("strata={}", "strata: must be like {category: {math: 2000, code: 0.3}}, got {}"),
        ("strata={category: 3}", "strata.category: must be like {math: 2000, code: 0.3}, got 3"),
        ("strata={category: {math: few}}",
         "strata.category.math: must be a number of rows, or a share of num_records such as 0.3, got 'few'"),
        ("strata={category: {math: true}}", "strata.category.math: must be a number of rows"),
        ("strata={category: {math: -1}}", "strata.category.math: must be a number of rows"),
        ("strata={category: {math: 1.5}}", "strata.category.math: must be a number of rows"),
        ("strata={category: {math: 60, code: 41}}", "strata.category: 101 rows are more than num_records=100"),
        ("strata={category: {math: 0.6, code: 0.6}}", "strata.category: 120 rows are more than num_records=100"),
        ("strata={category: {math: 60, code: 20}}",
         "strata.category: asks for 80 of num_records=100 rows, and 'category' has no other value"),
        ("strata={categry: {math: 60}}",
         "strata.categry: is not a column of the rows: no step adds it, and no source draws it; did you mean"),
        ("strata={category: {maths: 60}}", "strata.category.maths: 'category' is never 'maths'; did you mean 'math'?"),
        ("strata={level: {4: 60}}", "strata.level.4: 'level' is never '4'; choose from 1, 2, 3"),
    ],
)  # fmt: skip
def test_what_can_not_be_filled_is_named(words, expected):
    with pytest.raises(ConfigError) as caught:
        grid(words)
    assert str(caught.value).startswith(expected)


def test_all_of_a_source_can_not_be_shared_out():
    words = ["source=file", "source.path=a.jsonl", "num_records=all", "+strategy.columns={topic: string}"]
    with pytest.raises(ConfigError, match="strata: need a number of rows, and num_records=all has none"):
        config(*words, "strata={topic: {tea: 0.5}}", strategy="text_generation")


def test_a_slice_knows_nothing_of_what_the_others_have():
    with pytest.raises(ConfigError, match="slice: records of magpie share dedup keys"):
        grid("strata={category: {math: 0.3}}", "slice=0/2")


def test_a_column_of_a_file_is_declared_and_has_to_be_there(tmp_path):
    words = ["source=file", "source.path=a.jsonl", "strata={topic: {tea: 0.5}}"]
    with pytest.raises(
        ConfigError, match=r"strata.topic: .*; set strategy.columns=\{topic: string\} to keep one of a source"
    ):
        config(*words, strategy="text_generation")
    made = config(*words, "+strategy.columns={topic: string}", strategy="text_generation")
    with pytest.raises(ConfigError, match=r"strata.topic: no step adds this column, and a.jsonl lacks it"):
        manifest_of(RunFolder(tmp_path / "run"), made, Contents(5, 0, ["instruction", "topics"], "content"))
