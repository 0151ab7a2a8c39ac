"""Background tasks that are always awaited: none is forgotten and none fails silently.

Promises: a task that runs `beside` another ends with it, and its exception ends the other; a task that is `kept_up` is
restarted after a failure, with a warning. A call to Ray never blocks the event loop or the exit of the process.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from synth.errors import reason

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S = 1.0


async def beside(main: Awaitable[T], *others: Coroutine[Any, Any, Any]) -> T:
    """The result of `main`. The other tasks are cancelled when it ends; an exception in one cancels it and is
    raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(other) for other in others]
            try:
                return await main
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def kept_up(name: str, work: Callable[[], Awaitable[Any]], pause_s: float = AGAIN_S) -> None:
    """Restart `work` after a pause whenever it fails; return when it does. Each kind of failure is logged once."""
    logged: set[str] = set()
    while True:
        try:
            await work()
            return
        except Exception as error:
            what = f"{type(error).__name__}: {reason(error)}"
            if what not in logged:
                log.warning("%s failed and is restarted: %s", name, what)
            logged.add(what)
        await asyncio.sleep(pause_s)


async def asked(question: Callable[[], T], seconds: float | None) -> T:
    """The result of a call that may block, from a daemon thread that never delays exit. Raises TimeoutError; without
    `seconds` it waits as long as it takes."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def resolve(given: T | None, failure: Exception | None) -> None:
        if answer.done():
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(given)  # type: ignore[arg-type]

    def ask() -> None:
        given, failure = None, None
        try:
            given = question()
        except Exception as error:
            failure = error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(resolve, given, failure)

    threading.Thread(target=ask, name="question", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await answer
