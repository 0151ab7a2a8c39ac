"""What a pool has decided, record by record: `pool.jsonl`, one line each, in the order of their numbers.

A line is on disk before anybody is told of the decision. So what a record was told can be read back, and a run that
is taken up again goes on as if it had never stopped. The first line says whose the pool is, and each line has a
checksum of itself and of all before it: what is torn, damaged, missing or of another run is seen, and nothing from
there on counts. What was made by the decisions that are lost so is made again (see resume.py and worker.py).
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

_LINE = re.compile(rb'(\{.*), "checksum": "([0-9a-f]{16})"\}\n')


class Decisions:
    """`found` holds the accepted texts of records 0, 1, 2, … as they were read; `append` adds the next ones' texts.

    A new pool is `owner`'s, by a run's fingerprint. One that is there is gone on with if it is the owner's, or one of
    `former` ones'.
    """

    def __init__(self, path: Path, owner: str = "", former: Collection[str] = ()):
        self._file = path.open("a+b")
        self._file.seek(0)
        head, self.found, end, self._checksum = _read(self._file, {owner, *former})
        self._count = len(self.found)
        if end < os.fstat(self._file.fileno()).st_size:
            log.warning("%s is whole up to record %d", path, self._count)
            self._file.truncate(end)
        if head is None:
            self._write([{"owner": owner}])

    def append(self, decisions: Sequence[Sequence[str]]) -> None:
        """The accepted texts of the next records, on disk. Raises OSError."""
        told = enumerate(decisions, self._count)
        self._write([{"record": number, "accepted": list(texts)} for number, texts in told])
        self._count += len(decisions)

    def _write(self, contents: Iterable[dict[str, object]]) -> None:
        lines, checksum = [], self._checksum
        for content in contents:
            body = json.dumps(content)[:-1].encode()
            checksum = _next(checksum, body)
            lines.append(body + f', "checksum": "{checksum.hex()}"}}\n'.encode())
        self._file.write(b"".join(lines))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._checksum = checksum


def decided(path: Path, owners: Collection[str]) -> int:
    """How many records a pool's decisions are known of, if it is one of `owners`'. Leaves the file as it is."""
    try:
        with path.open("rb") as file:
            return len(_read(file, owners)[1])
    except FileNotFoundError:
        return 0


def _read(file: Iterable[bytes], owners: Collection[str]) -> tuple[str | None, list[list[str]], int, bytes]:
    """The owner, the decisions, where what is whole of them ends, and the checksum there."""
    head: str | None = None
    found: list[list[str]] = []
    end, checksum = 0, b""
    for line in file:
        match = _LINE.fullmatch(line)
        if match is None or _next(checksum, match[1]).hex() != match[2].decode():
            break
        content = json.loads(match[1] + b"}")
        if head is not None:
            found.append(content["accepted"])
        elif content["owner"] in owners:
            head = content["owner"]
        else:
            break
        checksum = bytes.fromhex(match[2].decode())
        end += len(line)
    return head, found, end, checksum


def _next(checksum: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(checksum + body, digest_size=8).digest()
