"""Checks in milliseconds that a model's files are complete: partial downloads, or git clones without LFS.

Loads nothing and contacts no server: models on the Hub are not checked.
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
    """`models/mine` is a local folder if there is a folder `models`, else a name on the Hub."""
    organization, slash, model = value.partition("/")
    plain = bool(slash and organization and model) and "/" not in model and organization not in (".", "..")
    return plain and not os.path.isdir(organization)


def missing_model(path: str, *, weights: bool = True, config: bool = True) -> str | None:
    """What a folder lacks for loading a model; None for a name on the Hub, which is not checked. A tokenizer needs
    neither weights nor a config.json."""
    if is_hub_name(path):
        return None
    if not Path(path).is_dir():
        return f"there is no folder {path!r}; a Hub name has the form ORGANIZATION/MODEL"
    if config and not (Path(path) / "config.json").is_file():
        return f"the folder {path!r} has no config.json, so it is not a model"
    return missing_weights(Path(path)) if weights else None


def missing_weights(folder: Path) -> str | None:
    """The problem with the weights in a folder: none, a missing file of the index, an LFS pointer, a truncated file."""
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
    return f"the folder {str(folder)!r} has no weights (*.safetensors or *.bin); is the download complete?"


def _named(folder: Path, suffix: str) -> list[str]:
    """The files of a kind: those in the index, else all."""
    for index in sorted(folder.glob(f"*{suffix}.index.json")):
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            return sorted({str(shard) for shard in shards})
        except (OSError, ValueError, KeyError, AttributeError):
            return [index.name]  # reported as an invalid index
    return [path.name for path in sorted(folder.glob(f"*{suffix}")) if path.name not in _NO_WEIGHTS]


def _problem(path: Path) -> str | None:
    if path.name.endswith(".index.json"):
        return f"{path.name} is not an index of weights"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
            if start == _POINTER:
                return f"{path.name} is a git LFS pointer, not the weights; run git lfs pull"
            if path.suffix == ".safetensors":
                file.seek(0)
                return _cut(path.name, size, file.read(8), file.read)
    except OSError:
        return f"{path.name} is missing"
    return f"{path.name} is empty" if not size else None


def _cut(name: str, size: int, head: bytes, read: Callable[[int], bytes]) -> str | None:
    """Whether a safetensors file is as long as its header says."""
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not length or length > size:
        return f"{name} is truncated, or not a safetensors file, at {size:,} bytes"
    try:
        tensors = json.loads(read(length))
        ends: Iterable[int] = (one["data_offsets"][1] for key, one in tensors.items() if key != "__metadata__")
        whole = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return f"{name} is not a safetensors file"
    return f"{name} is truncated: {size:,} of {whole:,} bytes" if size < whole else None
