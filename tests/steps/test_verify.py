"""Records whose answer a verifier passes stay; the others end with a reason of their own."""

import pytest

from synth.components.instantiate import build
from synth.errors import ConfigError
from synth.records import Rejection
from synth.steps.function import StepFunction
from synth.steps.needs import refuse_missing_columns
from synth.steps.strategy import Step, Strategy
from synth.steps.verify import Verify
from synth.verifiers import Verdict
from synth.verifiers.mathematics import Math

RECORD = {"response": r"\boxed{5}", "answer": "5"}


class Says:
    def __init__(self, verdict):
        self.verdict = verdict

    async def verify(self, record):
        return Verdict(self.verdict, 0.0, "why")

    def needs(self):
        return []


async def test_what_passes_is_kept_with_its_verdict():
    kept = await Verify(verifier=Math())(RECORD, None)
    assert kept == RECORD | {"verdict": "passed", "verifier_score": 1.0}


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [("failed", "failed_verification"), ("timeout", "verifier_timeout"), ("error", "verifier_error")],
)
async def test_every_other_verdict_is_a_rejection_of_its_own(verdict, reason):
    step = Verify(verifier=Says(verdict))
    with pytest.raises(Rejection) as caught:
        await step(RECORD, None)
    assert (caught.value.reason, caught.value.detail) == (reason, "why")
    assert caught.value.record["verdict"] == verdict
    assert reason in step.rejections


async def test_other_verdicts_are_kept_where_they_are_asked_for():
    step = Verify(verifier=Says("failed"), keep=["passed", "failed"])
    assert (await step(RECORD, None))["verdict"] == "failed"
    assert step.rejections == ("verifier_timeout", "verifier_error")


async def test_what_fails_can_be_what_is_kept():
    step = Verify(verifier=Math(), keep="failed")
    with pytest.raises(Rejection, match="passed_verification"):
        await step(RECORD, None)


class Broken(Says):
    async def verify(self, record):
        return 1 / self.verdict


@pytest.mark.parametrize("verifier", [Broken(0), Broken(1), Says("fine")])
async def test_a_verifier_that_breaks_or_gives_no_verdict_is_an_error(verifier):
    with pytest.raises(Rejection, match="verifier_error"):
        await Verify(verifier=verifier)(RECORD, None)


def test_a_source_without_the_known_answer_is_refused():
    step = Verify(verifier=Math(answer="solution"))
    strategy = Strategy("test", [Step("verify", step, step.columns)])
    with pytest.raises(ConfigError, match=r"strategy.verify: reads the column 'solution', which rows.jsonl lacks"):
        refuse_missing_columns(strategy, ["response", "answer"], "rows.jsonl")


def test_a_step_is_no_verifier():
    node = {"_target_": "synth.steps.verify.Verify", "verifier": {"_target_": "synth.steps.respond.Respond"}}
    with pytest.raises(ConfigError, match=r"Respond' is not a valid verifier: it has no verify\(record\)"):
        build(node, "strategy.verify", StepFunction)
