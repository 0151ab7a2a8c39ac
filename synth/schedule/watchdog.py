"""A step that blocks its worker's event loop is named while it does so: no other record goes on in that time.

A thread asks the loop for a sign of life. Where none comes it looks at what the loop's thread is at: a blocking step is
the same call for seconds, however often one looks. What it sees goes to a file of the run, because a worker that is
blocked answers no question. A step that blocks for longer than it may take at all is told to whoever can end it.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from synth.steps import chain

LOOK_S = 0.5
BLOCKED_S = 2.0


class Watchdog:
    """To be made in the event loop that it looks after. `on_stuck` hears of the id of a record and the step that has
    blocked it for `limit_s`, in the thread."""

    def __init__(self, told: Path, limit_s: float | None = None, on_stuck: Callable[[str, str], None] | None = None):
        self._told, self._limit_s, self._on_stuck = told, limit_s, on_stuck
        self._loop, self._of = asyncio.get_running_loop(), threading.get_ident()
        self._end = threading.Event()
        self._longest: dict[str, float] = {}
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()

    def _look(self) -> None:
        alive = threading.Event()
        while not self._end.wait(LOOK_S):
            alive.clear()
            began, call, seconds = time.monotonic(), self._call(), 0.0
            try:
                self._loop.call_soon_threadsafe(alive.set)
            except RuntimeError:  # the loop is closed
                return
            while not alive.wait(LOOK_S) and not self._end.is_set():
                now = self._call()
                if now is not call:  # it goes on, though slowly
                    began, call = time.monotonic(), now
                seconds = time.monotonic() - began
                if call is not None and seconds >= BLOCKED_S:
                    self._blocks(call, seconds)
            del call

    def _call(self) -> FrameType | None:
        """The call of a step that the loop's thread is in."""
        frame = sys._current_frames().get(self._of)
        while frame is not None and frame.f_code is not chain._call.__code__:
            frame = frame.f_back
        return frame

    def _blocks(self, call: FrameType, seconds: float) -> None:
        step, llm = call.f_locals["step"], call.f_locals["llm"]
        if seconds >= 2 * self._longest.get(step.name, BLOCKED_S / 2):
            self._longest[step.name] = seconds
            line = {"step": step.name, "seconds": round(seconds, 1), "where": self._where(call)}
            with suppress(OSError), self._told.open("a") as file:
                file.write(json.dumps(line) + "\n")
        if self._limit_s is not None and seconds > self._limit_s and self._on_stuck:
            self._on_stuck(llm.id, step.name)

    def _where(self, call: FrameType) -> str:
        """The line of the step itself, and not of what it calls."""
        frame, inner = sys._current_frames().get(self._of), None
        while frame is not None and frame is not call:
            frame, inner = frame.f_back, frame
        return f"{os.path.basename(inner.f_code.co_filename)}:{inner.f_lineno}" if inner is not None else ""


class BlockedSteps:
    """The reader of what all workers of a run tell, by those who started them."""

    def __init__(self, told: Path):
        self._path = told
        self._read = told.stat().st_size if told.exists() else 0
        self._longest: dict[str, float] = {}

    def news(self) -> list[str]:
        """A line for each step that blocked a worker, and again where it is for four times as long."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = []
        for line in whole.splitlines():
            with suppress(ValueError, KeyError, TypeError):
                found = json.loads(line)
                step, seconds = str(found["step"]), float(found["seconds"])
                if seconds >= 4 * self._longest.get(step, 0.0):
                    self._longest[step] = seconds
                    lines.append(
                        f"the step {step} blocks its worker, for {seconds:.0f} s so far, at {found['where']}: "
                        "no record goes on meanwhile; await what takes long, or use asyncio.to_thread"
                    )
        return lines
