"""Is a model whole, as far as its files tell? A partial download, or a git clone without LFS, is seen in milliseconds.

Loads nothing and asks no server: a model by its name on the Hub is not looked up.
"""

import json
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

_POINTER = b"version https://git-lfs"
_NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "random_states.bin")
_OTHERS = ("*.pt", "*.pth", "*.gguf")


def is_hub_name(value: str) -> bool:
    """`models/mine` is a folder of this machine where there is a folder `models`, and else a name on the Hub."""
    organization, slash, model = value.partition("/")
    plain = bool(slash and organization and model) and "/" not in model and organization not in (".", "..")
    return plain and not os.path.isdir(organization)


def missing_model(path: str, *, weights: bool = True, config: bool = True) -> str | None:
    """What a folder lacks that others are to load a model from; None for a name on the Hub, which is not looked up. A
    tokenizer alone needs neither weights nor a config.json."""
    if is_hub_name(path):
        return None
    if not Path(path).is_dir():
        return f"there is no folder {path!r}; a Hub name has the form ORGANIZATION/MODEL"
    if config and not (Path(path) / "config.json").is_file():
        return f"the folder {path!r} holds no model, which has a config.json"
    return missing_weights(Path(path)) if weights else None


def missing_weights(folder: Path) -> str | None:
    """What is wrong with the weights in a folder: none there, one that its index names, a pointer, one cut off."""
    problems = []
    for suffix in (".safetensors", ".bin"):
        names = _named(folder, suffix)
        if names:
            found = [problem for name in names if (problem := _problem(folder / name))]
            if not found:
                return None
            problems.append(f"in the folder {str(folder)!r} {found[0]}")
    if problems:
        return problems[0]
    if any(path.is_file() for pattern in _OTHERS for path in folder.glob(pattern)):
        return None
    return f"the folder {str(folder)!r} holds no weights (no *.safetensors or *.bin): a download that is not finished?"


def _named(folder: Path, suffix: str) -> list[str]:
    """The files of a kind: those that an index names, else those that are there."""
    for index in sorted(folder.glob(f"*{suffix}.index.json")):
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            return sorted({str(shard) for shard in shards})
        except (OSError, ValueError, KeyError, AttributeError):
            return [index.name]  # which is no file of weights, and said to be none
    return [path.name for path in sorted(folder.glob(f"*{suffix}")) if path.name not in _NO_WEIGHTS]


def _problem(path: Path) -> str | None:
    if path.name.endswith(".index.json"):
        return f"{path.name} is no index of weights"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
            if start == _POINTER:
                return f"{path.name} is a pointer of git LFS and not the weights; git lfs pull fetches them"
            if path.suffix == ".safetensors":
                file.seek(0)
                return _cut(path.name, size, file.read(8), file.read)
    except OSError:
        return f"{path.name} is missing"
    return f"{path.name} is empty" if not size else None


def _cut(name: str, size: int, head: bytes, read: Callable[[int], bytes]) -> str | None:
    """Whether a file of safetensors is as long as its header says."""
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not length or length > size:
        return f"{name} is cut off, or no safetensors file, at {size:,} bytes"
    try:
        tensors = json.loads(read(length))
        ends: Iterable[int] = (one["data_offsets"][1] for key, one in tensors.items() if key != "__metadata__")
        whole = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return f"{name} is no safetensors file"
    return f"{name} is cut off: {size:,} of {whole:,} bytes" if size < whole else None
