"""The decisions of a pool, record by record: `pool.jsonl`, one line each, in the order of record numbers.

A line is on disk before any worker gets the decision, so a resumed run repeats it. The first line names the owner, and
each line has a checksum of itself and all lines before. Reading stops at the first line that is torn, damaged, missing
or of another run. Records that used lost decisions are run again (resume.py, shard_files.py).
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
    """`found` has the accepted texts of records 0, 1, 2, … read from disk; `append` adds those of the next records.

    A new file belongs to `owner`, a run's fingerprint. An existing one is continued if it belongs to the owner or to
    one of `former`.
    """

    def __init__(self, path: Path, owner: str = "", former: Collection[str] = ()):
        self._file = path.open("a+b")
        self._file.seek(0)
        head, self.found, end, self._checksum = _read(self._file, {owner, *former})
        self._count = len(self.found)
        if end < os.fstat(self._file.fileno()).st_size:
            log.warning("%s is readable up to record %d only", path, self._count)
            self._file.truncate(end)
        if head is None:
            self._write([{"owner": owner}])

    def append(self, decisions: Sequence[Sequence[str]]) -> None:
        """Write the accepted texts of the next records to disk. Raises OSError."""
        numbered = enumerate(decisions, self._count)
        self._write([{"record": number, "accepted": list(texts)} for number, texts in numbered])
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
    """How many records have decisions in a file of one of `owners`. Does not change the file."""
    try:
        with path.open("rb") as file:
            return len(_read(file, owners)[1])
    except FileNotFoundError:
        return 0


def _read(file: Iterable[bytes], owners: Collection[str]) -> tuple[str | None, list[list[str]], int, bytes]:
    """The owner, the decisions, the end of the readable part, and the checksum there."""
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
