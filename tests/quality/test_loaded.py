"""What is loaded once."""

import asyncio
import pickle
import threading
import time

import pytest

from synth.engines import EngineError
from synth.quality.loaded import Loaded


async def test_it_is_loaded_once_for_all_who_ask_and_nobody_is_held_up_meanwhile():
    loads, go_on = [], threading.Event()

    def load():
        go_on.wait(60)
        loads.append(1)
        return "it"

    loaded = Loaded("it", load)
    asking = [asyncio.create_task(loaded.get()) for _ in range(50)]
    await asyncio.sleep(0)
    assert loads == [] and not any(one.done() for one in asking)  # this goes on while it loads
    go_on.set()
    assert await asyncio.gather(*asking) == ["it"] * 50
    assert loads == [1]


async def test_one_who_is_cancelled_does_not_end_the_load_for_the_others():
    loaded = Loaded("it", lambda: time.sleep(0.05) or "it")
    first = asyncio.create_task(loaded.get())
    second = asyncio.create_task(loaded.get())
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "it"


async def test_what_can_not_be_loaded_breaks_the_run_and_not_the_record():
    with pytest.raises(EngineError, match="the thing can't be loaded: division by zero"):
        await Loaded("the thing", lambda: 1 / 0).get()


def value():
    return 7


async def test_it_goes_to_other_processes_and_is_loaded_there():
    loaded = Loaded("it", value)
    await loaded.get()
    assert await pickle.loads(pickle.dumps(loaded)).get() == 7
