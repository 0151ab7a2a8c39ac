"""Records: identity, randomness, cost and columns."""

import os
import subprocess
import sys

import pyarrow as pa
import pytest

from synth.records import Rejection, Usage, dataset_schema, derive_seed, record_id, rejected_schema


def test_an_id_is_the_number_and_the_path_through_fan_outs():
    assert [record_id(17), record_id(17, (2,)), record_id(17, (2, 0))] == ["17", "17/2", "17/2/0"]


def test_a_seed_depends_on_every_part_their_order_and_their_number():
    parts = [(0,), (1,), (0, 1), (1, 0), (0, "1"), (0, "1", 0), (0, "1", 0, 0), (0, "10", 0), (0, "1/0", "")]
    assert len({derive_seed(*part) for part in parts}) == len(parts)


def test_seeds_fit_the_datasets_column_and_are_spread_over_it():
    seeds = [derive_seed(0, str(number)) for number in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert 450 < sum(seed >= 2**62 for seed in seeds) < 550


def test_a_seed_is_the_same_in_every_process():
    code = "from synth.records import derive_seed; print(derive_seed(3, '17/2', 'magpie', 0))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "5"}
    )
    assert int(done.stdout) == derive_seed(3, "17/2", "magpie", 0)


def test_usages_add_up():
    assert Usage(1, 2, 3) + Usage(10, 20, 30) == Usage(11, 22, 33)


def test_the_datasets_columns_are_those_of_the_contract_then_what_steps_add():
    names = "id messages instruction response system_prompt strategy model seed lineage usage finish_reason".split()
    assert dataset_schema({"score": pa.float64()}).names == [*names, "score"]
    assert rejected_schema({"score": pa.float64()}).names == [*names, "score", "rejected_by", "reason", "detail"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("id", "string"),
        ("seed", "int64"),
        ("messages", "list<item: struct<role: string, content: string>>"),
        ("lineage", "list<item: struct<step: string, text: string, operation: string, model: string>>"),
        ("usage", "struct<prompt_tokens: int64, cached_tokens: int64, completion_tokens: int64>"),
    ],
)
def test_columns_have_the_types_of_the_contract(name, kind):
    assert str(dataset_schema().field(name).type) == kind


def test_a_rejection_can_be_raised():
    with pytest.raises(Rejection, match="dull"):
        raise Rejection("dull", "nothing new")
