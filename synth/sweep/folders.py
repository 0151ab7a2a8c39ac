"""The folders of a sweep's runs: one for each, below output_dir, named by the swept values.

Promises: equal values give the same folder, whatever else is on the command line, and different values different ones,
also on case-insensitive file systems. A run with another num_records is the same run, more or less advanced:
num_records is in the name only if nothing else is swept. A name is valid on any file system: values that can't be part
of it, or are too long, are represented by a checksum.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from tempfile import mkdtemp

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

LONGEST = 120  # bytes
_UNNAMED = ("output_dir", "slice", "dry_run")  # the first two make their own folders, the third must not have one
_AS_IT_IS = re.compile(r"[a-z0-9._+-]+=[a-z0-9._+-]*")


def fixed_keys(overrides: Iterable[Override]) -> set[str]:
    """The keys with one value in all runs of a sweep, by its command line."""
    is_fixed = {_key(override): not override.is_sweep_override() for override in overrides}  # the last one counts
    return {key for key, fixed in is_fixed.items() if fixed}


def swept(overrides: Iterable[str], command_line: Iterable[Override]) -> list[str]:
    """A run's overrides that differ between the runs of the sweep."""
    fixed = fixed_keys(command_line)
    parser = OverridesParser.create()
    return [word for word in overrides if _key(parser.parse_override(word)) not in fixed]


def count(command_line: Iterable[Override]) -> int:
    """The number of runs of a command line; a sweeper configured in a file may make more."""
    last = {_key(override): override for override in command_line}
    return prod(
        len(list(override.sweep_string_iterator())) for override in last.values() if override.is_sweep_override()
    )


def folder_name(overrides: Iterable[str], fixed: Iterable[str]) -> str:
    """The name of a run's folder by its own overrides; empty if none distinguishes it."""
    parser = OverridesParser.create()
    swept = [
        override for override in map(parser.parse_override, overrides) if _key(override) not in (*fixed, *_UNNAMED)
    ]
    swept = [override for override in swept if _key(override) != "num_records"] or swept
    words = sorted(
        f"{override.get_key_element().removeprefix('++')}={override.get_value_element_as_str()}" for override in swept
    )
    text = ",".join(words)
    if all(map(_AS_IT_IS.fullmatch, words)) and len(text) <= LONGEST:
        return text
    suffix = f"@{hashlib.blake2b(text.encode(errors='surrogatepass'), digest_size=6).hexdigest()}"
    readable = re.sub(r"[^\w.,=+-]+", "_", text).encode(errors="ignore")[: LONGEST - len(suffix)]
    return readable.decode(errors="ignore") + suffix


@contextmanager
def hydras_folder() -> Iterator[None]:
    """Hydra's files of a sweep go into a temporary folder: `synth_sweep:` in conf/config.yaml."""
    made: list[str] = []

    def folder() -> str:
        made.extend(() if made else [mkdtemp(prefix="synth-sweep-")])
        return made[0]

    OmegaConf.register_new_resolver("synth_sweep", folder, replace=True)
    try:
        yield
    finally:
        for one in map(Path, made):
            with suppress(OSError):  # other files in it stay
                (one / "multirun.yaml").unlink(missing_ok=True)
                one.rmdir()


def _key(override: Override) -> str:
    return str(override.get_key_element()).lstrip("+~")
