"""Every reason for which a shipped step can reject a record is one that it declares: by reading its code."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import synth.quality
import synth.steps
from synth.engines import Sampling
from synth.engines.repetition import RepetitionDetection
from synth.quality.contamination import Decontaminate
from synth.quality.length import Length
from synth.quality.reward import Reward
from synth.quality.semantic_duplicate import SemanticDuplicate
from synth.quality.threshold import Threshold
from synth.records import Rejection
from synth.steps.converse import Converse
from synth.steps.judge import Judge
from synth.steps.llm import LLM
from synth.steps.magpie import Magpie
from synth.steps.pick import Pick
from synth.steps.preference import Preference
from synth.steps.rank import Rank
from synth.steps.sample import Sample
from synth.steps.self_instruct import Queries
from synth.steps.stratify import Stratify
from synth.steps.text_generation import TextGeneration
from synth.steps.verify import Verify
from synth.verifiers.mathematics import Math

LOOPS = Sampling(repetition_detection=RepetitionDetection())
TEMPLATE = "{{ topic }}"

# Built so that everything for which they can reject is switched on. The others are taken as they are by default.
BUILT = [
    Converse(goal=TEMPLATE, keep_unmet=False),
    Decontaminate(against=str(Path(synth.steps.__file__).with_name("seed_tasks.jsonl"))),
    Judge(criteria=[TEMPLATE], min_score=3),
    Length(min=1),
    Magpie(instruction=LOOPS, min_logprob=-1.0, system_prompts=[TEMPLATE]),
    Pick(output="pairs"),
    Preference(judge=Judge(criteria=[TEMPLATE])),
    Queries(application=TEMPLATE),
    Rank(judge=Judge(criteria=[TEMPLATE])),
    Reward(model="reward"),
    Sample(verifier=Math(), passes="majority"),
    SemanticDuplicate(model="embedder"),
    Stratify(None, None),
    TextGeneration(template=TEMPLATE, output="instruction", sampling=LOOPS),
    Threshold(column="score", min=0, max=1, among=[1]),
    Verify(verifier=Math()),
]
BY_MODEL = [Preference(reward_model="reward"), Rank(reward_model="reward")]  # in place of the judge

# Reasons that end a round inside the step, and not the record.
OF_A_ROUND = {"EvolInstruct": {"truncated", "empty", "leaked", "answered", "refusal", "empty_words"}}


def shipped_steps():
    for package in (synth.steps, synth.quality):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for _, kind in inspect.getmembers(module, inspect.isclass):
                call = vars(kind).get("__call__")
                takes = list(inspect.signature(call).parameters)[1:] if call else []
                if kind.__module__ == info.name and takes == ["record", "llm"] and not is_protocol(kind):
                    yield kind


def is_protocol(kind):
    return getattr(kind, "_is_protocol", False)


class Raised(ast.NodeVisitor):
    """The reasons in the code of a class, and of what it calls by name in Synth, as regular expressions. Those of an
    `llm`, such as prompt_too_long, are any step's."""

    def __init__(self):
        self.reasons, self.seen, self.modules = set(), set(), []

    def read(self, thing):
        if thing in self.seen or not getattr(thing, "__module__", "").startswith("synth."):
            return self
        self.seen.add(thing)
        self.modules.append(importlib.import_module(thing.__module__))
        self.visit(ast.parse(textwrap.dedent(inspect.getsource(thing))))
        self.modules.pop()
        return self

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "Rejection" and node.args:
            self.reasons |= set(self.patterns(node.args[0]))
        self.generic_visit(node)

    def visit_Name(self, node):
        found = getattr(self.modules[-1], node.id, None)
        if inspect.isfunction(found) or (inspect.isclass(found) and found not in (*STEPS, LLM, Rejection)):
            self.read(inspect.unwrap(found))

    def patterns(self, node):
        """Of a text that can't be told from the code, as one that a function returns, none."""
        match node:
            case ast.Constant(value=str(text)):
                yield re.escape(text)
            case ast.IfExp():
                yield from self.patterns(node.body)
                yield from self.patterns(node.orelse)
            case ast.JoinedStr():
                yield "".join(
                    re.escape(value.value) if isinstance(value, ast.Constant) else ".+" for value in node.values
                )
            case ast.Name(id=name) if isinstance(getattr(self.modules[-1], name, None), str):
                yield re.escape(getattr(self.modules[-1], name))
            case ast.Call(func=ast.Name(id="missing")):
                yield "no_.+"


STEPS = list(shipped_steps())


def test_all_steps_are_found():
    assert {"Magpie", "EvolInstruct", "Tasks", "Judge", "Threshold", "Repetition"} <= {one.__name__ for one in STEPS}


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_a_step_declares_every_reason_that_it_gives(kind):
    built = [one for one in (*BUILT, *BY_MODEL) if type(one) is kind] or [kind()]
    declared = {reason for one in built for reason in one.rejections}
    raised = Raised().read(kind).reasons - {re.escape(one) for one in OF_A_ROUND.get(kind.__name__, ())}
    undeclared = {one for one in raised if not any(re.fullmatch(one, reason) for reason in declared)}
    assert not undeclared, (sorted(undeclared), sorted(declared))


def test_a_reason_that_is_not_declared_is_found():
    """Of a template that can't be filled in: it is raised two calls away."""
    assert {"missing_column", "low_score"} <= Raised().read(Judge).reasons
    assert "missing_column" not in Judge().rejections and "missing_column" in Judge(criteria=[TEMPLATE]).rejections
