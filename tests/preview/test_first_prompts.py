"""What a dry run shows of prompts: no engine is there."""

from synth.engines import Sampling
from synth.models.model import Model
from synth.preview.first_prompts import first_prompts, shown
from synth.steps.magpie import Magpie
from synth.steps.strategy import Step, Strategy
from synth.steps.tag import Tag


class Mine:
    """A step of somebody's own."""

    def calls(self):
        return [Sampling()]

    async def __call__(self, record, llm):
        raise AssertionError("a dry run starts nothing")


class Config:
    """What is asked of one here."""

    def __init__(self, *steps):
        self.strategy = Strategy("test", [Step(type(step).__name__, step) for step in steps])
        self.settings = type("Settings", (), {"seed": 0})

    def load_chat_templates(self):
        return {"main": Model(path="demo").load_chat_template()}


def test_the_first_prompt_of_each_step_is_shown_and_no_step_of_ones_own_is_run():
    magpie, tag, mine = first_prompts(Config(Magpie(), Tag(), Mine()), [])
    assert magpie == "Magpie: <|im_start|>user\\n"
    assert tag.startswith("Tag: <|im_start|>") and "<instruction>" in tag
    assert mine == "Mine: unknown: steps of your own are not run"


def test_a_long_prompt_is_shown_without_its_middle_in_one_line():
    text = shown("a\n" * 2000 + "\x1b")
    assert len(text) < 1000 and "characters" in text and "\n" not in text and "\x1b" not in text
