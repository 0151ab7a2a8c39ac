"""The door that draws a strategy: Mermaid text and SVG, from what the steps tell of themselves."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import pytest

from synth.configuration.config_groups import options
from synth.draw import main
from synth.engines import Sampling
from synth.quality.length import Length
from synth.quality.reward import Reward
from synth.quality.threshold import Threshold
from synth.report.diagram import mermaid, stages, whole_cost
from synth.report.diagram_svg import svg
from synth.steps.evol_instruct import EvolInstruct
from synth.steps.judge import Judge
from synth.steps.preference import Preference
from synth.steps.strategy import Step, Strategy
from tests.error_lines import check_line

WARM = Sampling(temperature=1.0)
EVIL = """a"]]></text><script>alert(1)</script>&amp;`x`|{end};\n%%{init}%%\u202e"""


class FakeStep:
    """Tells of itself what a test has it tell."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    async def __call__(self, record, llm):
        return record


def step(name="first", calls=None, **attributes):
    return Step(name, FakeStep(**({} if calls is None else {"calls": lambda: [Sampling()] * calls}), **attributes))


def strategy(*steps, name="mine"):
    return Strategy(name, steps)


def texts(picture):
    """All texts of an SVG file, which must be well-formed."""
    return [element.text for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_a_chain_is_printed_as_mermaid_text(capsys):
    assert main(["+strategy=magpie"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "flowchart TD",
        '    source(["source<br/>at most 2 calls per record of the source"])',
        '    step1["magpie<br/>at most 2 calls"]',
        "    source --> step1",
        '    step1 -.-> rejected1(["rejected<br/>empty_instruction<br/>truncated_instruction<br/>repetition<br/>'
        'empty_response<br/>truncated_response"])',
        '    step1 --> dataset[("dataset: magpie")]',
    ]


def test_overrides_are_those_of_a_run(capsys):
    assert main(["+strategy=magpie", "strategy.magpie.n_turns=3"]) == 0
    assert "at most 6 calls" in capsys.readouterr().out


def test_a_bad_override_is_one_line_and_exit_code_2(capsys):
    assert main(["+strategy=magpie", "strategy.magpie.turns=3"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: strategy.magpie.turns: no such key") and err.count("\n") == 1


def test_svg_goes_into_a_file(tmp_path, capsys):
    assert main(["+strategy=magpie", "--svg", str(tmp_path / "magpie.svg")]) == 0
    assert f"The picture is in {tmp_path / 'magpie.svg'}" in capsys.readouterr().out
    shown = texts((tmp_path / "magpie.svg").read_text())
    assert shown[0] == "magpie" and "at most 2 calls" in shown and "rejected" in shown and "dataset" in shown


def test_a_file_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main(["+strategy=magpie", f"--svg={tmp_path}/none/magpie.svg"]) == 2
    check_line(capsys.readouterr().err, f"error: --svg: {tmp_path}/none/magpie.svg", "No such file or directory")


def test_several_strategies_do_not_overwrite_one_file(tmp_path, capsys):
    assert main(["--multirun", "+strategy=magpie,magpie_math", "--svg", str(tmp_path / "one.svg")]) == 2
    assert "one diagram" in capsys.readouterr().err


@pytest.mark.parametrize("name", options("strategy"))
def test_each_shipped_strategy_tells_all_that_is_drawn(name, capsys):
    assert main([f"+strategy={name}"]) == 0
    drawn = capsys.readouterr().out
    assert "not attributes" not in drawn and "not known" not in drawn


def test_the_rounds_inside_a_step_are_drawn():
    evolving, voting = EvolInstruct(rounds=3, eliminate=["no_gain"]), Judge(votes=2, min_score=4, sampling=WARM)
    first, second = stages(strategy(Step("evolve", evolving), Step("judge", voting)))
    assert first.inside == ("3 rounds, each: evolve, judge", "a round may end in: no_gain")
    assert second.inside == ("2 votes, their mean", "rejects a score below 4")
    assert set(texts(svg(strategy(Step("evolve", evolving))))) >= set(first.lines)
    assert "3 rounds, each: evolve, judge<br/>" in mermaid(strategy(Step("evolve", evolving)))


def test_the_thresholds_of_a_filter_are_drawn():
    filters = [Threshold(column="judge_score", min=3), Threshold(column="task", among=["code", "maths"]), Length(max=9)]
    drawn = [stage.inside for stage in stages(strategy(*(Step("one", each) for each in filters)))]
    assert [line for (line,) in drawn] == [
        "judge_score: min 3, on_null reject",
        "task: among code/maths, on_null reject",
        "response: unit words, max 9",
    ]


def test_the_parameters_of_a_filter_of_ones_own_are_drawn():
    def is_long(record, llm, least):
        return record

    is_long.is_filter = True
    (stage,) = stages(strategy(Step("is_long", partial(is_long, least=3))))
    assert stage.inside == ("least 3",)


def test_calls_are_counted_through_fan_outs():
    chain = stages(
        strategy(step(calls=1, num_outputs=5), step("second", calls=2), step("third", calls=1, num_outputs=2))
    )
    assert whole_cost(chain) == "at most 16 calls per record of the source"


def test_calls_after_a_fan_out_of_any_size_are_counted_for_each():
    chain = stages(strategy(step(calls=1, num_outputs=None), step("second", calls=2)))
    assert whole_cost(chain) == "at most 1 call per record of the source, and 2 calls per record from first"


def test_a_score_is_drawn_with_the_model_that_gives_it():
    scored, ranked = (
        stages(strategy(Step("one", one)))[0] for one in (Reward(model="rm"), Preference(reward_model="rm"))
    )
    assert (scored.cost, ranked.cost) == ("a score of rm", "at most 4 calls, a score of rm")


def test_what_a_step_does_not_tell_is_drawn_as_not_told():
    async def plain(record, llm):
        return record

    picture = mermaid(strategy(Step("plain", plain)))
    assert "calls unknown" in picture and "reasons unknown" in picture
    assert "calls per record unknown: the step plain does not declare them" in picture


def test_a_fan_out_parts_the_way_and_stacks_what_follows():
    picture = svg(strategy(step(calls=1, num_outputs=5), step("second", calls=1)))
    assert {"up to 5 records", "at most 1 call", "at most 1 call each"} <= set(texts(picture))
    assert "step1 -->|" in mermaid(strategy(step(num_outputs=None), step("second")))


def test_a_function_with_parameters_tells_of_itself_behind_them():
    async def shorten(record, llm, words):
        return record

    shorten.rejections = ("too_long",)
    shorten.num_outputs = 3
    (stage,) = stages(strategy(Step("shorten", partial(shorten, words=3))))
    assert (stage.rejections, stage.num_outputs) == (("too_long",), 3)


def test_names_and_reasons_are_text_and_never_markup():
    evil = strategy(step(EVIL, rejections=(EVIL,)), name=EVIL)
    text = mermaid(evil)
    labels = re.findall(r'"(.*?)"', text)
    assert not re.search(r"[\[\]{}()|<>&`%]", "".join(labels).replace("<br/>", ""))
    assert len(text.splitlines()) == len(mermaid(strategy(step(rejections=("x",)))).splitlines())
    assert "\u202e" not in text
    picture = svg(evil)
    assert "<script" not in picture
    assert any('a"]]></text><script>' in shown for shown in texts(picture))


def test_long_names_and_wide_letters_stay_in_their_boxes():
    picture = svg(strategy(step("x" * 500), step("长" * 50, rejections=("y" * 300,)), name="z" * 1000))
    assert max(map(len, texts(picture))) < 100
    assert "长" * 18 + "…" in texts(picture)
