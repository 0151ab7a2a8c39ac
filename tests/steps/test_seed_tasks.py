"""Seed tasks in the published format."""

import gzip
import json

import pytest

from synth.components.instantiate import build
from synth.errors import ConfigError
from synth.quality.novelty import Novelty
from synth.steps.function import StepFunction
from synth.steps.seed_tasks import SHIPPED, read_seeds
from synth.steps.self_instruct_parsing import unfit_task

GOOD = {
    "id": "seed_task_0",
    "name": "tree",
    "instruction": "Name a tree.",
    "instances": [{"input": "", "output": "Oak"}],
    "is_classification": False,
}


def tasks(seeds):
    return build({"_target_": "synth.steps.self_instruct.Tasks", "seeds": str(seeds)}, "strategy.tasks", StepFunction)


def test_a_published_file_is_read_as_it_is(tmp_path):
    other = GOOD | {"instruction": "Name two\n trees. "}
    (tmp_path / "seeds.jsonl").write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(other)}\n")
    assert tasks(tmp_path / "seeds.jsonl").pool.seeds == ("Name a tree.", "Name two trees.")


@pytest.mark.parametrize("name", ["seeds.jsonl", "seeds.jsonl.gz", "seeds.json", "seeds.txt"])
def test_a_file_is_read_as_a_source_is(tmp_path, name):
    lines = [GOOD | {"instruction": f"Name\u2028{what}."} for what in ("a tree", "a river")]
    lines[1]["instances"] = [{"input": None, "output": "Ob"}]
    text = "\ufeff" + "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    if name == "seeds.json":
        text = json.dumps(lines, ensure_ascii=False)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert tasks(tmp_path / name).pool.seeds == ("Name a tree.", "Name a river.")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "ends within an object, expected an object per line"),
        ("5", "is a number, expected an object"),
        ('{"instruction": ""}', 'has no "instruction", a text'),
        ('{"instruction": "Name a tree.", "instances": [{"input": 5, "output": ""}]}', '"instances" must be a list'),
        ('{"instruction": "Name a tree.", "instances": 5}', '"instances" must be a list'),
        ('{"instruction": "Name a tree.", "is_classification": "no"}', '"is_classification" must be true or false'),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path, line, why):
    path = tmp_path / "seeds.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        tasks(path)
    assert str(caught.value).startswith(f"strategy.tasks.seeds: {path}:2: {why}")


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"strategy\.tasks\.seeds: .*there is no file '.*none\.jsonl'"):
        tasks(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match=r"empty\.jsonl: has no tasks in it"):
        tasks(tmp_path / "empty.jsonl")


def test_the_shipped_tasks_are_many_varied_and_pass_the_filters_themselves():
    result = [json.loads(line) for line in SHIPPED.read_text().splitlines()]
    assert len(result) >= 40
    assert 0.2 <= sum(one["is_classification"] for one in result) / len(result) <= 0.35
    assert len({one["id"] for one in result}) == len({one["name"] for one in result}) == len(result)
    pool = Novelty()
    for task in (seed.instruction for seed in read_seeds(SHIPPED)):
        assert unfit_task(task) is None
        assert pool.is_novel(task)
        pool.add(task)
