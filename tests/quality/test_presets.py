"""The shipped strategies with filters: what they keep, and what a rejected record has cost by then."""

import json
from functools import cache

import pytest
from hydra import compose, initialize_config_dir

from synth.configuration.config_groups import CONF_DIR
from synth.configuration.parsing import parse
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from tests.steps.fakes import FakeEngine, FakeTemplate

TAGS = {"category": "code", "quality": "good", "difficulty": "hard", "language": "en"}
ANSWER = "A bee is an insect that makes honey."
QUESTION = "Please tell me what a bee is."


class Claimed:
    """DedupKeys of which one is like every text, or none is."""

    def __init__(self, like):
        self.like = like

    async def claim(self, claim):
        return (0,) if self.like else None


class Directions:
    """An embedding of the tests."""

    async def embed(self, text):
        return [1.0, 0.0]


class Points:
    """A reward model of the tests: so many points for whatever it is shown."""

    def __init__(self, points: float):
        self.points = points

    def score(self, messages):
        return self.points


NUMBERED = "".join(f"{n}. A bee is a bee and a fly.\n" for n in range(40))


@cache  # steps keep nothing from one record for the next
def strategy(name, points=0.0):
    overrides = [f"+strategy={name}", "engine=simulated"]
    if name != "magpie_filtered":
        overrides.append(f"strategy.reward.model={{_target_: tests.quality.test_presets.Points, points: {points}}}")
        overrides.append("strategy.repeated.model={_target_: tests.quality.test_presets.Directions}")
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return parse(compose("config", overrides)).strategy


async def made(name, question=QUESTION, answer=ANSWER, points=0.0, repeated=False, **tags):
    """The reason why a record of these words was rejected, None if it was kept, and how many calls it took."""

    def reply(prompt):
        if prompt.endswith("<user>"):
            return question
        return json.dumps(TAGS | tags) if '"category"' in prompt else answer

    engine = FakeEngine(reply, max_model_len=100_000)
    endpoints = {one: Endpoint(engine, FakeTemplate(), "fake") for one in ("main", "tagger")}
    context = Context(strategy(name, points), endpoints, 0, claims=Claimed(repeated))
    finished = await run_record(1, {}, context)
    (row,) = finished.kept + finished.rejected
    return row.get("reason"), len(engine.prompts)


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("magpie_filtered", 2),
        ("magpie_filtered_pro", 3),
        ("magpie_filtered_air", 3),
        ("magpie_filtered_mt", 5),
        ("magpie_filtered_reasoning", 3),
    ],
)
async def test_a_good_record_is_kept(name, calls):
    assert await made(name) == (None, calls)


@pytest.mark.parametrize(
    ("name", "changed", "reason", "calls"),
    [
        ("magpie_filtered", {"question": "Rewrite the following text:"}, "announces", 1),
        ("magpie_filtered", {"question": "Hi"}, "too_short", 1),
        ("magpie_filtered", {"question": "Erkläre mir bitte genau, was eine Biene ist."}, "wrong_language", 1),
        ("magpie_filtered", {"answer": "I'm sorry, but I can't help you with that."}, "refusal", 2),
        ("magpie_filtered", {"answer": "A bee is a bee is a bee and. " * 30}, "repetition", 2),
        (
            "magpie_filtered",
            {"answer": "".join(f"{n}. A bee is a bee and a fly.\n" for n in range(40))},
            "repeated_lines",
            2,
        ),
        ("magpie_filtered", {"answer": "A bee is an insect that makes honey, and it lives in a"}, "mid_sentence", 2),
        ("magpie_filtered", {"repeated": True}, "near_duplicate", 1),
        ("magpie_filtered_pro", {"repeated": True}, "semantic_duplicate", 1),
        ("magpie_filtered_mt", {"repeated": True}, "semantic_duplicate", 4),
        ("magpie_filtered_pro", {"quality": "average"}, None, 3),
        ("magpie_filtered_pro", {"quality": "poor"}, "other_quality", 2),
        ("magpie_filtered_pro", {"question": "Rewrite this:"}, "announces", 1),
        ("magpie_filtered_pro", {"points": -10.0}, None, 3),
        ("magpie_filtered_pro", {"points": -10.5}, "low_reward", 3),
        ("magpie_filtered_air", {"quality": "average"}, "other_quality", 2),
        ("magpie_filtered_air", {"difficulty": "easy"}, "other_difficulty", 2),
        ("magpie_filtered_reasoning", {"category": "writing"}, "other_task_category", 2),
        ("magpie_filtered_mt", {"question": "a\nb\nc\nd\ne\nf", "category": "writing"}, "too_long", 5),
        ("magpie_filtered_mt", {"question": "a\nb\nc\nd\ne\nf", "category": "code"}, None, 5),
    ],
)
async def test_a_record_ends_where_it_is_first_known_to_be_doomed(name, changed, reason, calls):
    assert await made(name, **changed) == (reason, calls)
