"""What runs in a process of a verifier's own: one function, called with one argument after the other.

Run as a file by synth/verifiers/processes.py. It speaks by the pipes that it got as its standard input and output, and
what the function reads or prints goes elsewhere. It ends with its parent, however that ends.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
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
        # Its signal ends the process, wherever it is: no handler of Python's is heard within sympy's inner loops.
        signal.setitimer(signal.ITIMER_PROF, setup["cpu_s"] or 0)
        try:
            reply = {"value": function(argument)}
        except BaseException as error:  # SystemExit too: it is the function's, not ours
            reply = {"error": _described(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(replies, reply)


def _described(error: BaseException) -> str:
    said = str(error)
    return (f"{type(error).__name__}: {said}" if said else type(error).__name__)[:MOST_DETAIL]


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
