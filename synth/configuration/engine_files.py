"""`engine=PATH.yaml`: a file of keys in place of a preset's name, as synth.tune writes one.

Hydra knows options by their names in its folders. A file that stands elsewhere is put beside those under its path as
it is typed, so that overrides, sweeps and `--cfg` treat it as any other option.
"""

from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from synth.errors import ConfigError, nearest, reason

_SUFFIX = ".yaml"


def names_file(value: str) -> bool:
    return value.endswith(_SUFFIX)


def add_engine_file(typed: str) -> None:
    """From here on it is an option of the group. Raises ConfigError."""
    folder, _, name = typed.rpartition("/")
    group = "/".join(["engine", *(one for one in folder.split("/") if one)])
    ConfigStore.instance().store(name, _read(Path(typed)), group=group, package="engine", provider=typed)


def _read(path: Path) -> DictConfig:
    if not path.is_file():
        beside = [str(one) for one in path.parent.glob(f"*{_SUFFIX}")]
        raise ConfigError(f"engine: there is no file {str(path)!r}{nearest(str(path), beside)}")
    try:
        found = OmegaConf.load(path)
    except Exception as error:  # of YAML, the encoding or the disk
        raise ConfigError(f"engine: {path} can't be read: {reason(error)}") from None
    if not isinstance(found, DictConfig) or "_target_" not in found:
        raise ConfigError(f"engine: {path} is no engine's file: it has no key _target_, as those of conf/engine have")
    if "defaults" in found:
        raise ConfigError(f"engine: {path} has a defaults list; put it into DIR/engine and add --config-dir DIR")
    return found
