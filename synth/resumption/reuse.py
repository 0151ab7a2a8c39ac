"""Whether the answers of another run may be taken over: they are those of the same models with the same seed.

Which of them are, nobody has to say: a call is taken over where it asks the same, and so are those of all steps before
one that was changed.
"""

from collections.abc import Mapping
from typing import Any

from synth.errors import ConfigError
from synth.storage.manifest import Manifest, Unreadable, differing_keys, told
from synth.storage.reused import ReusedCalls
from synth.storage.run_folder import RunFolder

_DECIDING = ("seed", "model", "engine", "models")  # what decides an answer, beside the prompt and the sampling


def refuse_unfit(folder: RunFolder, identity: Mapping[str, Any]) -> None:
    """Raises ConfigError where the run in a folder has no answers for one of this identity."""
    try:
        manifest = Manifest.read(folder)
        if manifest is None:
            raise ConfigError(f"reuse: there is no run in {folder.path}")
        differing = differing_keys(_deciding(manifest.identity), _deciding(identity))
        if differing:
            raise ConfigError(f"reuse: {folder.path} has other answers: {told(differing)}")
        if not ReusedCalls(folder).has_any:
            raise ConfigError(f"reuse: {folder.path} has kept no calls; a run does with checkpoint_calls=keep")
    except Unreadable as error:
        raise ConfigError(f"reuse: {error}") from None


def _deciding(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: identity[key] for key in _DECIDING if key in identity}
