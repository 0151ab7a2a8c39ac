"""Runs in a verifier's subprocess: one function, called with one argument after the other.

Run as a file by synth/verifiers/processes.py. It communicates by its original standard input and output; what the
function reads or prints is redirected. It ends with its parent.
"""

import ctypes
import json
import os
import pickle
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
MOST_DETAIL = 1000  # characters


def main() -> None:
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    setup = pickle.loads(_read(requests))
    sys.path[:] = setup["path"]
    if bytes_of_memory := setup["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (bytes_of_memory, bytes_of_memory))
    reply: dict[str, Any]
    try:
        function = pickle.loads(setup["function"])
        reply = {"value": None}
    except BaseException as error:
        function, reply = None, {"error": _described(error)}
    _write(replies, reply)
    while function is not None:
        argument = pickle.loads(_read(requests))
        # The signal ends the process at once: Python handlers don't run within sympy's inner loops.
        signal.setitimer(signal.ITIMER_PROF, setup["cpu_s"] or 0)
        try:
            reply = {"value": function(argument)}
        except BaseException as error:  # also the function's SystemExit
            reply = {"error": _described(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(replies, reply)


def _described(error: BaseException) -> str:
    message = str(error)
    return (f"{type(error).__name__}: {message}" if message else type(error).__name__)[:MOST_DETAIL]


def _read(pipe: BinaryIO) -> bytes:
    head = pipe.read(4)
    if len(head) < 4:
        os._exit(0)  # the parent has closed it
    return pipe.read(struct.unpack("!I", head)[0])


def _write(pipe: BinaryIO, reply: dict[str, Any]) -> None:
    data = json.dumps(reply).encode()
    pipe.write(struct.pack("!I", len(data)) + data)
    pipe.flush()


if __name__ == "__main__":
    main()
