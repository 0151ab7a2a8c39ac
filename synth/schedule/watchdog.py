"""Reports a step that blocks its worker's event loop, while it blocks: no other record runs in that time.

A thread pings the loop. If there is no reply it samples the stack of the loop's thread: a blocking step shows the same
call for seconds. Findings go to a file of the run, because a blocked worker answers no call. A step that blocks beyond
its timeout is passed to `on_stuck`, which can end it.
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
    """Create it in the event loop to watch. `on_stuck` is called in the thread with a record's id and the step that has
    blocked it for `limit_s` seconds."""

    def __init__(self, path: Path, limit_s: float | None = None, on_stuck: Callable[[str, str], None] | None = None):
        self._path, self._limit_s, self._on_stuck = path, limit_s, on_stuck
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
                if now is not call:  # not blocked, only slow
                    began, call = time.monotonic(), now
                seconds = time.monotonic() - began
                if call is not None and seconds >= BLOCKED_S:
                    self._blocks(call, seconds)
            del call

    def _call(self) -> FrameType | None:
        """The frame of the step's call that the loop's thread is in."""
        frame = sys._current_frames().get(self._of)
        while frame is not None and frame.f_code is not chain._call.__code__:
            frame = frame.f_back
        return frame

    def _blocks(self, call: FrameType, seconds: float) -> None:
        step, llm = call.f_locals["step"], call.f_locals["llm"]
        if seconds >= 2 * self._longest.get(step.name, BLOCKED_S / 2):
            self._longest[step.name] = seconds
            line = {"step": step.name, "seconds": round(seconds, 1), "where": self._where(call)}
            with suppress(OSError), self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        if self._limit_s is not None and seconds > self._limit_s and self._on_stuck:
            self._on_stuck(llm.id, step.name)

    def _where(self, call: FrameType) -> str:
        """The step's own line, not one of a function that it calls."""
        frame, inner = sys._current_frames().get(self._of), None
        while frame is not None and frame is not call:
            frame, inner = frame.f_back, frame
        return f"{os.path.basename(inner.f_code.co_filename)}:{inner.f_lineno}" if inner is not None else ""


class BlockedSteps:
    """Reads, on the driver, what the watchdogs of all workers have written."""

    def __init__(self, path: Path):
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._longest: dict[str, float] = {}

    def news(self) -> list[str]:
        """A line for each step that blocks a worker, and again each time the duration has quadrupled."""
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
                        f"the step {step} has blocked its worker for {seconds:.0f} s at {found['where']}: "
                        "no other record runs meanwhile; use await or asyncio.to_thread for long calls"
                    )
        return lines
