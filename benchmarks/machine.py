"""What a benchmark ran on, in words."""

import os
import platform
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{os.cpu_count()} threads of {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} threads of {platform.machine()}"
