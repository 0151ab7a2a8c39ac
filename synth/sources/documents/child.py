"""Runs in a subprocess of conversion.py: one document after the other, from its bytes to its blocks.

Documents are untrusted, and libraries that read them may hang, crash or take all memory: here that ends nothing but
this process. It is given the content of each, and opens no file.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import Any, BinaryIO

from synth.errors import reason
from synth.sources.documents.blocks import MOST_TEXT, Unreadable, checked

_PR_SET_PDEATHSIG = 1
MEMORY = 2**31  # bytes
CPU_S = 300.0  # of a document: processor time, so that a busy machine changes no dataset
_HEAD = struct.Struct("!II")  # lengths of the request's description and of the document


def main() -> None:
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    while head := requests.read(_HEAD.size):
        about, size = _HEAD.unpack(head)
        given = json.loads(requests.read(about))
        data = requests.read(size)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)  # its signal ends the process
        reply = _converted(data, **given)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(replies, reply)


def _converted(data: bytes, kind: str, encodings: list[str]) -> dict[str, Any]:
    from synth.sources.documents import markup, pdf, plain

    readers = {
        "text": plain.text,
        "markdown": plain.markdown,
        "html": markup.html,
        "docx": markup.docx,
        "pdf": pdf.pdf,
    }
    try:
        return {"document": checked(readers[kind](data, encodings)).plain()}
    except Unreadable as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": f"takes more than {MEMORY >> 30} GiB of memory"}
    except RecursionError:
        return {"reason": "is nested too deep"}
    except Exception as error:  # of a library, about a broken file
        return {"reason": f"can't be read: {reason(error)}"}


def _write(pipe: BinaryIO, reply: dict[str, Any]) -> None:
    data = json.dumps(reply).encode()
    if len(data) > 16 * MOST_TEXT:
        data = json.dumps({"reason": "has too much text"}).encode()
    pipe.write(struct.pack("!I", len(data)) + data)
    pipe.flush()


if __name__ == "__main__":
    main()
