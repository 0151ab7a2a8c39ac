"""Tasks beside the one that matters: none is forgotten, and none ends unnoticed."""

import asyncio
import threading

import pytest

from synth.schedule.background import asked, beside, kept_up


async def test_what_runs_beside_something_ends_with_it():
    ended = []

    async def other():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("other")

    assert await beside(asyncio.sleep(0.01, "given"), other()) == "given"
    assert ended == ["other"]


async def test_what_something_beside_it_raises_ends_the_one_that_matters_and_is_raised():
    ended = []

    async def main():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("main")

    async def other():
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        await beside(main(), other())
    assert ended == ["main"]


async def test_what_the_one_that_matters_raises_is_raised_as_it_is():
    async def main():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await beside(main(), asyncio.sleep(60))


async def test_what_is_kept_up_is_begun_again_and_each_failure_is_told_once(caplog):
    begun = []

    async def work():
        begun.append(len(begun))
        if len(begun) < 5:
            raise ValueError("odd" if len(begun) % 2 else "even")

    await kept_up("the look", work, pause_s=0)
    assert len(begun) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "the look failed and is restarted: ValueError: odd",
        "the look failed and is restarted: ValueError: even",
    ]


async def test_a_question_without_an_answer_holds_up_nobody():
    never = threading.Event()
    async with asyncio.timeout(60) as bound:
        with pytest.raises(TimeoutError):
            await asked(never.wait, 0.05)
    assert not bound.expired()
    never.set()


async def test_a_question_gives_its_answer_or_raises_what_it_raised():
    assert await asked(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        await asked(lambda: 1 / 0, 5)
