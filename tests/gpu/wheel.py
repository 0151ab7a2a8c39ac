"""vLLM's wheel for GPUs, its Python only: fetched once into the user's cache folder (326 MB), and unpacked.

python tests/gpu/wheel.py        prints its folder
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "0.32.0"
FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synth" / f"vllm-{VERSION}-gpu"


def fetched() -> Path:
    """Its folder, made where it is not there. Raises CalledProcessError where it can't be had."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
            only = ["--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.12"]
            subprocess.run([*pip, *only, "-d", scratch, f"vllm=={VERSION}"], check=True, stdout=sys.stderr)
            (wheel,) = Path(scratch).glob("vllm-*.whl")
            unpacked = Path(scratch) / "unpacked"
            with zipfile.ZipFile(wheel) as file:
                file.extractall(unpacked, [name for name in file.namelist() if not name.endswith(".so")])
            unpacked.rename(FOLDER)
    return FOLDER


if __name__ == "__main__":
    print(fetched())
