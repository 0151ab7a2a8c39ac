"""The folder in /tmp where a run's own Ray has its sockets and logs: gone with the run, however that ends.

Ray's processes end with the run's, but for a few that Ray starts at one remove; and a process that is killed tidies
nothing. So a shell stands by, outside of the run's session, and waits for the end of its input, which the system closes
with the run's process. Where it was killed too, the next run on the machine finds the folder and that nobody holds its
lock any more.
"""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARENT = Path("/tmp")  # paths of sockets may have a hundred characters and no more
_PREFIX, _LOCK, _FILES = "synth-", "lock", "files"

# Ends whoever has one of its files open, the dead run's Ray, and removes it. Others may look at its lock.
_TIDY = f"""
for process in /proc/[0-9]*; do
    ls -l $process/fd 2>/dev/null | grep -qF " $1/{_FILES}/" && kill -s KILL ${{process#/proc/}}
done
rm -rf "$1"
"""
_WHEN_INPUT_ENDS = "trap '' INT TERM HUP; read -r end\n"


@contextmanager
def scratch() -> Iterator[Path]:
    """A new, empty folder for as long as the context lasts and the process lives."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=PARENT))
    (folder / _FILES).mkdir()
    with (folder / "unlocked").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "unlocked").rename(folder / _LOCK)  # so that nobody ever sees it without its lock
        standby = subprocess.Popen(
            ["sh", "-c", _WHEN_INPUT_ENDS + _TIDY, "sh", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield folder / _FILES
        finally:
            standby.kill()
            standby.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Removes the folders of processes that are no more. One whose lock can't be seen is left alone."""
    for folder in PARENT.glob(_PREFIX + "*"):
        with suppress(OSError), (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            subprocess.run(["sh", "-c", _TIDY, "sh", str(folder)], stderr=subprocess.DEVNULL)
