"""What becomes of a record whose words go round in circles."""

import pytest

from synth.configuration.column_types import type_from_text
from synth.engines import WATCHED_EVERY, Answer, Sampling
from synth.steps.evol_instruct import EvolInstruct
from synth.steps.magpie import Magpie
from synth.steps.preference import Preference
from synth.steps.respond import Respond
from synth.steps.text_generation import TextGeneration
from tests.steps.fakes import FakeEngine, finish

LOOP = "Say it again. " * 20
END = len("Say it again. " * 3)
ASKED = {"instruction": "Why is the sky blue?"}


class Watched(FakeEngine):
    """One that can be stopped while it writes."""

    async def generate(self, prompt, sampling, watch=None):
        whole = await super().generate(prompt, sampling)
        for count in range(WATCHED_EVERY, len(whole.token_ids), WATCHED_EVERY):
            if watch and watch(whole.token_ids[:count]):
                return Answer(whole.token_ids[:count], "abort", len(prompt))
        return whole


def engine(reply=LOOP, kind=FakeEngine):
    return kind(reply if callable(reply) else lambda prompt: reply, max_model_len=5000)


async def outcome(step, record=ASKED, **given):
    columns = {name: type_from_text(kind) for name, kind in getattr(step, "columns", {}).items()}
    finished = await finish(step, record=record, columns=columns, **given)
    rows = finished.kept + finished.rejected
    return rows[0] if len(rows) == 1 else rows


async def test_an_answer_that_loops_rejects_its_record_where_it_was_asked_for():
    row = await outcome(Respond(), engine=engine())
    assert (row["rejected_by"], row["reason"], row["finish_reason"]) == ("first", "repetition", "repetition")
    assert row["response"] == LOOP[:END].strip()


async def test_all_tokens_count_that_were_written():
    late, stopped = [await outcome(Respond(), engine=engine(kind=kind)) for kind in (FakeEngine, Watched)]
    assert late["usage"]["completion_tokens"] == len(LOOP)
    assert stopped["usage"]["completion_tokens"] == 2 * WATCHED_EVERY
    assert {key: value for key, value in late.items() if key != "usage"} == {
        key: value for key, value in stopped.items() if key != "usage"
    }


async def test_an_answer_that_does_not_loop_is_the_same_whether_it_is_watched_or_not():
    text = " ".join(f"Word {n}, and so on." for n in range(30))
    rows = [await outcome(Respond(), engine=engine(text, kind)) for kind in (FakeEngine, Watched)]
    assert rows[0] == rows[1] and rows[0]["response"] == text


async def test_without_detection_it_is_kept_as_it_was_written():
    row = await outcome(Respond(sampling=Sampling(repetition_detection=None)), engine=engine())
    assert (row["response"], row["finish_reason"]) == (LOOP.strip(), "stop")


async def test_one_that_is_not_to_be_rejected_is_kept_as_far_as_it_goes():
    row = await outcome(Respond(sampling=Sampling(repetition_detection={"reject": False})), engine=engine())
    assert (row["response"], row["finish_reason"]) == (LOOP[:END].strip(), "repetition")
    assert "reason" not in row


async def test_what_an_earlier_run_kept_is_not_rejected_by_a_later_step():
    async def judge(record, llm):
        return record | {"score": (await llm.chat("How good is it?")).text}

    record = ASKED | {"response": "Again. Again.", "finish_reason": "repetition"}
    row = await outcome(judge, record, engine=engine("Good."), declared=None)
    assert row["finish_reason"] == "repetition" and "reason" not in row


async def test_a_step_of_ones_own_is_rejected_for_the_words_that_it_wrote_too():
    async def translate(record, llm):
        return record | {"response": (await llm.chat("Translate it.")).text}

    assert (await outcome(translate, engine=engine()))["reason"] == "repetition"


async def test_an_instruction_that_loops_is_a_rejection_and_so_is_a_turn_in_the_middle():
    row = await outcome(Magpie(), {}, engine=engine())
    assert (row["reason"], row["instruction"]) == ("repetition", LOOP[:END].strip())
    row = await outcome(
        Magpie(n_turns=2), {}, engine=engine(lambda prompt: LOOP if prompt.endswith("<assistant>") else "Why?")
    )
    assert (row["reason"], len(row["messages"])) == ("repetition", 2)


async def test_of_several_samples_the_one_that_loops_is_rejected():
    answers = iter(["One.", LOOP, "Two."])
    step = TextGeneration(template="{{ instruction }}", samples=3)
    rows = await outcome(step, engine=engine(lambda prompt: next(answers)))
    assert [(row["id"], row.get("reason")) for row in rows] == [("0/0", None), ("0/2", None), ("0/1", "repetition")]


async def test_a_column_of_another_name_that_loops_is_rejected_though_a_later_sample_does_not():
    answers = iter([LOOP, "Two."])
    step = TextGeneration(template="{{ instruction }}", samples=2, output="summary")
    rows = await outcome(step, engine=engine(lambda prompt: next(answers)))
    assert [(row["id"], row.get("reason")) for row in rows] == [("0/1", None), ("0/0", "repetition")]


async def test_a_round_of_an_evolution_that_loops_has_failed():
    row = await outcome(EvolInstruct(rounds=2, answers="none"), engine=engine())
    assert (row["reason"], row["detail"]) == ("not_evolved", "repetition, repetition")


async def test_a_pair_is_made_of_the_responses_that_do_not_loop():
    answers = iter(["One.", LOOP, "Two."])
    step = Preference(k=3, reward_model={"_target_": "tests.steps.test_preference.Longer"})
    columns = {name: type_from_text(kind) for name, kind in Preference.columns.items()}
    (row,) = (await finish(step, record=ASKED, columns=columns, engine=engine(lambda prompt: next(answers)))).rejected
    assert row["reason"] == "no_preference"  # both are a word
    assert [one["operation"] for one in row["lineage"]] == ["candidate: 1", "candidate: 1"]


async def test_a_list_that_is_held_to_a_form_may_have_the_same_item_many_times():
    async def listed(record, llm):
        return record | {"response": (await llm.chat("A list.", json_schema={"type": "array"})).text}

    row = await outcome(listed, engine=engine())
    assert row["response"] == LOOP.strip() and "reason" not in row


@pytest.mark.parametrize("step", [Respond(), Magpie(), TextGeneration(template="x"), EvolInstruct()])
def test_steps_that_ask_for_answers_say_that_they_may_reject_one_for_it(step):
    assert "repetition" in step.rejections
