"""What may stand under engine.extra."""

import pytest

from synth.configuration.parsing import parse
from synth.engines import vllm_arguments
from synth.engines.vllm import VLLM
from synth.models.model import Model
from tests.configuration.test_config import composed

DEMO = Model(path="demo")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"watermrk": 0.05}, "extra.watermrk: vLLM has no such argument; did you mean 'watermark'?"),
        ({"max_num_seqs": 8}, "extra.max_num_seqs: is a key of the engine itself: set engine.max_num_seqs"),
        ({"data_parallel_size": 2}, "extra.data_parallel_size: each replica is one engine; set cluster.replicas=N "
         "instead"),
        ({"prefill_context_parallel_size": 2}, "extra.prefill_context_parallel_size: set "
         "engine.tensor_parallel_size and engine.pipeline_parallel_size instead"),
        ({"enable_expert_parallel": True}, "extra.enable_expert_parallel: needs several GPUs in one "
         "engine; set engine.tensor_parallel_size=N"),
        ({"trust_remote_code": True}, "extra.trust_remote_code: a model's own code is not run"),
    ],
)  # fmt: skip
def test_what_vllm_can_not_be_given_is_refused_with_the_nearest(extra, expected):
    with pytest.raises(ValueError, match=r"extra\.") as refused:
        VLLM(model=DEMO, extra=extra)
    assert expected in str(refused.value)


def test_any_argument_is_taken_where_vllm_is_not_on_this_machine(monkeypatch):
    monkeypatch.setattr(vllm_arguments, "arguments", frozenset)
    assert VLLM(model=DEMO, extra={"watermrk": 0.05}).extra


@pytest.mark.vllm
def test_its_arguments_are_those_that_vllm_itself_knows():
    from dataclasses import fields

    from vllm.engine.arg_utils import AsyncEngineArgs

    assert vllm_arguments.arguments() == {
        field.name for field in fields(AsyncEngineArgs) if not field.name.startswith("_")
    }
    assert {one.removeprefix("extra.") for one in vllm_arguments.RUNTIME_ONLY} <= vllm_arguments.arguments()


def test_an_argument_that_changes_no_data_may_differ_when_a_run_goes_on():
    plain, other, different = (
        parse(composed(*words, model="demo")).identity()
        for words in ([], ["+engine.extra.watermark=0.05"], ["+engine.extra.quantization=fp8"])
    )
    assert plain == other != different
