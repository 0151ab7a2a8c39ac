"""`engine=PATH.yaml`: a file of keys in place of a preset's name, such as the output of synth.tune.

Hydra finds options by name in its folders. A file elsewhere is added to those under its path as typed, so that
overrides, sweeps and `--cfg` treat it like any other option.
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
    group = "/".join(["engine", *(part for part in folder.split("/") if part)])
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
        raise ConfigError(f"engine: {path} is no engine file: it has no key _target_, unlike those of conf/engine")
    if "defaults" in found:
        raise ConfigError(f"engine: {path} has a defaults list; move it to DIR/engine and add --config-dir DIR")
    return found
