"""The folder in /tmp for the sockets and logs of a run's own Ray, removed at the end of the run, however that comes.

Ray's processes end with the run, except for a few grandchildren; a killed process cleans up nothing. So a shell process
in another session waits for the end of its input, which the system closes with the run's process, and cleans up. If the
shell was killed too, the next run on the machine finds the folder with its lock free, and removes it.
"""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARENT = Path("/tmp")  # the path of a socket may have about a hundred characters
_PREFIX, _LOCK, _FILES = "synth-", "lock", "files"

# Kills processes with an open file in the folder (the dead run's Ray), and removes it. Other runs may open its lock.
_TIDY = f"""
for process in /proc/[0-9]*; do
    ls -l $process/fd 2>/dev/null | grep -qF " $1/{_FILES}/" && kill -s KILL ${{process#/proc/}}
done
rm -rf "$1"
"""
_WHEN_INPUT_ENDS = "trap '' INT TERM HUP; read -r end\n"


@contextmanager
def scratch() -> Iterator[Path]:
    """A new, empty folder for the lifetime of the context and of this process."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=PARENT))
    (folder / _FILES).mkdir()
    with (folder / "unlocked").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "unlocked").rename(folder / _LOCK)  # nobody ever sees it without its lock
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
    """Remove the folders of dead processes. A folder whose lock can't be read is left alone."""
    for folder in PARENT.glob(_PREFIX + "*"):
        with suppress(OSError), (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            subprocess.run(["sh", "-c", _TIDY, "sh", str(folder)], stderr=subprocess.DEVNULL)
