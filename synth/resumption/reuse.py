"""Checks that answers of another run may be reused: same models, same seed.

An answer is reused for an identical call, so all steps before a changed one are reused without being named.
"""

from collections.abc import Mapping
from typing import Any

from synth.errors import ConfigError
from synth.storage.manifest import Manifest, Unreadable, describe, differing_keys
from synth.storage.reused import ReusedCalls
from synth.storage.run_folder import RunFolder

_DECIDING = ("seed", "model", "engine", "models")  # decide an answer, beside the prompt and the sampling parameters


def refuse_unfit(folder: RunFolder, identity: Mapping[str, Any]) -> None:
    """Raises ConfigError if the folder's run has no answers for this identity."""
    try:
        manifest = Manifest.read(folder)
        if manifest is None:
            raise ConfigError(f"reuse: there is no run in {folder.path}")
        differing = differing_keys(_deciding(manifest.identity), _deciding(identity))
        if differing:
            raise ConfigError(f"reuse: the answers in {folder.path} differ: {describe(differing)}")
        if not ReusedCalls(folder).has_any:
            raise ConfigError(f"reuse: {folder.path} has no stored calls; run it with checkpoint_calls=keep")
    except Unreadable as error:
        raise ConfigError(f"reuse: {error}") from None


def _deciding(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: identity[key] for key in _DECIDING if key in identity}
