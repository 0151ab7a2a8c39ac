"""What a pool has decided, record by record: `pool.jsonl`, one line each, in the order of their numbers.

A line is on disk before anybody is told of the decision. So what a record was told can be read back, and a run that
is taken up again goes on as if it had never stopped. A last line that a crash tore is dropped, nobody knew of it.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)


class Decisions:
    """`found` holds the accepted texts of records 0, 1, 2, … as they were read; `append` adds the next ones' texts."""

    def __init__(self, path: Path):
        self.found: list[list[str]] = []
        self._count = 0
        self._file = path.open("a+b")
        self._read(path)

    def _read(self, path: Path) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            try:
                told = json.loads(line)
                if not line.endswith(b"\n") or told["record"] != self._count:
                    raise ValueError
                self.found.append(list(map(str, told["accepted"])))
            except (ValueError, KeyError, TypeError):
                log.warning("%s is whole up to record %d", path, self._count)
                break
            self._count += 1
            end += len(line)
        self._file.truncate(end)

    def append(self, decisions: Sequence[Sequence[str]]) -> None:
        """The accepted texts of the next records, on disk. Raises OSError."""
        lines = [
            json.dumps({"record": number, "accepted": list(texts)}) + "\n"
            for number, texts in enumerate(decisions, self._count)
        ]
        self._file.write("".join(lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._count += len(decisions)
