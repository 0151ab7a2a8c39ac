"""Tasks beside the one that matters: none of them is forgotten, and none ends unnoticed.

Promises: what runs `beside` something ends with it, and what it raises ends it too; what is `kept_up` is begun again
when it fails, and says so. A question to Ray never holds up the event loop or the end of the process.
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
    """What `main` gives. The others are cancelled with its end; what one of them raises cancels it, and is raised."""
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
    """Returns when `work` does. Where it fails it is begun again after a pause; each kind of failure is told once."""
    told: set[str] = set()
    while True:
        try:
            await work()
            return
        except Exception as error:
            what = f"{type(error).__name__}: {reason(error)}"
            if what not in told:
                log.warning("%s failed and is begun again: %s", name, what)
            told.add(what)
        await asyncio.sleep(pause_s)


async def asked(question: Callable[[], T], seconds: float) -> T:
    """The answer to a question that may block, in a thread that nobody has to wait for. Raises TimeoutError."""
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
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(resolve, given, failure)

    threading.Thread(target=ask, name="question", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await answer
