"""GPU models by name, for estimates without the GPU."""

import re
import shutil
import subprocess
from dataclasses import dataclass

# Memory as the driver reports it, in GiB: less than the nominal size.
_GIB = {
    "H100": 79.6,
    "H200": 140.4,
    "H20": 95.6,
    "GH200": 95.0,
    "B200": 178.4,
    "GB200": 184.0,
    "B300": 267.0,
    "A100-80GB": 79.3,
    "A100-40GB": 39.5,
    "L40S": 44.5,
    "L4": 22.5,
    "A10G": 22.3,
    "RTX4090": 23.5,
    "RTX5090": 31.4,
}
USUAL = "H100"
NAMES = tuple(_GIB)


@dataclass(frozen=True)
class Card:
    name: str
    gib: float
    is_here: bool = False

    @property
    def has_large_batches(self) -> bool:
        """Whether vLLM's LLM uses its large batch sizes on it, by the rule of 0.32."""
        return self.gib >= 70 and "A100" not in self.name.upper()


def card(name: str) -> Card:
    """By a name in NAMES, or a size such as 48GiB. Raises ValueError."""
    if name in _GIB:
        return Card(name, _GIB[name])
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)GiB", name):
        return Card(f"a GPU of {found[1]} GiB", float(found[1]))
    raise ValueError(f"must be auto, one of {', '.join(NAMES)}, or a size such as 48GiB")


def seen() -> Card | None:
    """The smallest GPU of this machine, by its driver."""
    if not shutil.which("nvidia-smi"):
        return None
    asked = ["nvidia-smi", "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.splitlines()
        cards = [
            Card(name.strip(), float(mib) / 1024, True) for mib, _, name in (line.partition(",") for line in lines)
        ]
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return min(cards, key=lambda one: one.gib, default=None)
