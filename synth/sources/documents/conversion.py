"""Documents to blocks, in subprocesses (child.py), several at once, in the order in which they are given.

Promises: no document ends more than its subprocess; its failure is a reason in words. At most two documents for each
subprocess are in memory.
"""

import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from synth.errors import reason
from synth.sources.documents.blocks import Document, Unreadable
from synth.sources.documents.child import CPU_S, MEMORY
from synth.sources.remote import Remote

LARGEST = 2**27  # bytes of a document
WALL_S = 1800.0  # of a document, if CPU_S does not end it: the process waits for something
MODULE = "synth.sources.documents.child"

Given = tuple[Path | Remote, str]  # a document and its format


def converted(given: Iterable[Given], encodings: list[str]) -> Iterator[tuple[Given, Document | Unreadable]]:
    count = min(4, os.cpu_count() or 1)
    children: queue.SimpleQueue[_Child] = queue.SimpleQueue()
    with ExitStack() as stack:
        for _ in range(count):
            child = _Child()
            stack.callback(child.end)
            children.put(child)
        threads = ThreadPoolExecutor(count)
        stack.callback(threads.shutdown, cancel_futures=True)  # before its children end

        def convert(one: Given) -> Document | Unreadable:
            child = children.get()
            try:
                return child.convert(*one, encodings)
            except Unreadable as why:
                return why
            finally:
                children.put(child)

        waiting: deque[tuple[Given, Future[Document | Unreadable]]] = deque()
        for one in given:
            waiting.append((one, threads.submit(convert, one)))
            if len(waiting) >= 2 * count:
                first, result = waiting.popleft()
                yield first, result.result()
        for first, result in waiting:
            yield first, result.result()


class _Child:
    """A subprocess, which is started when it is needed, and again after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def convert(self, path: Path | Remote, kind: str, encodings: list[str]) -> Document:
        """Raises Unreadable."""
        data = _content(path)
        about = json.dumps({"kind": kind, "encodings": encodings}).encode()
        request = struct.pack("!II", len(about), len(data)) + about
        process = self._process or self._started()
        assert process.stdin and process.stdout
        late = threading.Timer(WALL_S, process.kill)
        late.start()
        try:
            process.stdin.write(request)
            process.stdin.write(data)
            process.stdin.flush()
            (size,) = struct.unpack("!I", process.stdout.read(4))
            reply = json.loads(process.stdout.read(size))
        except (OSError, struct.error, ValueError):
            raise Unreadable(_end(self._ended())) from None
        finally:
            late.cancel()
        if "reason" in reply:
            raise Unreadable(reply["reason"])
        return Document.of_plain(reply["document"])

    def _started(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", "-m", MODULE]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        return self._process

    def _ended(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            return process.wait(5)
        process.kill()
        return process.wait()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            with suppress(OSError):
                self._process.communicate()
            self._process = None


def _content(path: Path | Remote) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable(f"can't be read ({error.strerror or reason(error)})") from None
    except Exception as error:  # of any store's client
        raise Unreadable(f"can't be read ({reason(error)})") from None
    if not data.strip():
        raise Unreadable("is empty")
    if len(data) > LARGEST:
        raise Unreadable(f"has more than {LARGEST >> 20} MiB")
    return data


def _end(status: int) -> str:
    """How a document has ended its process."""
    if status == -signal.SIGPROF:
        return f"takes more than {CPU_S:g} s of processor time"
    if status == -signal.SIGKILL:
        return f"takes more than {MEMORY >> 30} GiB of memory or {WALL_S / 60:g} minutes"
    ending = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"can't be read: its reader ended with {ending}"
