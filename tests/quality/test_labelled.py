"""The filters of `magpie_filtered` on what a real model wrote, and on what nobody would throw away."""

import pytest

from tests.quality.labelled import GOOD, QUERIES, ROWS, UNSEEN, UNSEEN2, UNSEEN3, figures, problems, verdict

VERDICTS: dict[str, str | None] = {}
ANSWER = {"response": "Here is what I know of it.", "finish_reason": "stop"}


async def known(row):
    """The verdict on one of ROWS, taken once for all tests."""
    if row["key"] not in VERDICTS:
        VERDICTS[row["key"]] = await verdict(row)
    return VERDICTS[row["key"]]


async def test_nearly_all_that_is_kept_is_usable_and_nearly_nothing_usable_is_rejected():
    found = figures(ROWS, [await known(row) for row in ROWS])
    assert found["kept_sound"] >= 0.95 * found["kept"]
    assert found["kept_usable"] >= 0.95 * found["kept"]
    assert found["usable_rejected"] <= 0.03 * found["usable"]


async def test_the_same_holds_for_rows_that_most_rules_were_made_without():
    found = figures(UNSEEN, [await verdict(row) for row in UNSEEN])
    assert found["kept_sound"] >= 0.95 * found["kept"]
    assert found["usable_rejected"] <= 0.03 * found["usable"]


async def test_what_holds_where_instructions_are_drawn_without_a_system_prompt_or_few_shot():
    """Many of these are no requests at all, which a judge has to find."""
    found = figures(UNSEEN2, [await verdict(row) for row in UNSEEN2])
    assert found["kept_sound"] >= 0.75 * found["kept"]
    assert found["usable_rejected"] <= 0.03 * found["usable"]


async def test_what_holds_for_rows_that_no_rule_was_made_by():
    found = figures(UNSEEN3, [await verdict(row) for row in UNSEEN3])
    assert found["kept_sound"] >= 0.85 * found["kept"]
    assert found["usable_rejected"] <= 0.06 * found["usable"]


@pytest.mark.parametrize("problem", ["refusal", "leak", "loop", "cut_off", "copies_instruction", "assistant_voice"])
async def test_every_kind_of_fault_is_found_nearly_always(problem):
    faulty = [row for row in ROWS if problem in problems(row)]
    kept = [row["key"] for row in faulty if await known(row) is None]
    assert len(kept) <= 0.12 * len(faulty), kept


@pytest.mark.parametrize("record", GOOD, ids=[record["instruction"][:40] for record in GOOD])
async def test_what_nobody_would_throw_away_is_kept(record):
    assert await verdict(record) is None


async def test_ordinary_short_queries_are_kept():
    verdicts = {query: await verdict({"instruction": query, **ANSWER}) for query in QUERIES["short"]}
    rejected = {query: reason for query, reason in verdicts.items() if reason and " " in query}
    assert len(rejected) <= 0.03 * len(verdicts), rejected
