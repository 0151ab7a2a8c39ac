"""Restricts what configuration files may do while Hydra composes them, since they may come from anywhere.

Hydra acts on its own keys before the configuration is checked: it instantiates callbacks, launchers, sweepers and
logging handlers, and sets environment variables. So only the command line may set those. And resolved values are
written into the run's folder, so files get no secrets from the environment.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from synth.configuration.config_groups import CONF_DIR, GROUPS
from synth.errors import ConfigError
from synth.storage.manifest import differing_keys

_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_SWEPT = "sweeper.params."
_OF_THIS_JOB = ("runtime", "overrides")  # written by Hydra itself
_MAY_DIFFER = ("name", "override_dirname", "id", "num", "config_name")  # of hydra.job


def guard_environment() -> None:
    """From here on `${oc.env:NAME}` refuses variables that may be secrets."""

    def get(name: str, *default: Any) -> Any:
        if any(word in name.upper() for word in _SECRETS):
            raise ValueError(f"${{oc.env:{name}}} may be a secret, and would be written into the run's folder")
        if name in os.environ or not default:
            return os.environ[name] if name in os.environ else _missing(name)
        return None if default[0] is None else str(default[0])

    OmegaConf.register_new_resolver("oc.env", get, replace=True)


def _missing(name: str) -> Any:
    raise ValueError(f"there is no environment variable {name}")


def refuse_keys_of_hydra(
    overrides: Sequence[str],
    typed: Sequence[str],
    config_dir: str | None,
    config_path: str | None,
    config_name: str | None,
) -> None:
    """Raises ConfigError if a file sets keys that Hydra acts on; `typed` are command-line overrides of Hydra's own
    keys.

    Errors of composition are Hydra's own.
    """
    allowed = _of_hydra(typed, None, None, None)
    composed = _of_hydra(overrides, config_dir, config_path, config_name)
    for key, _, value in differing_keys(allowed, composed):
        if not _is_sweep(key):
            does = "unsets it" if value is None else f"sets it to {str(value)[:60]!r}"
            raise ConfigError(f"hydra.{key}: a file {does}; set keys of Hydra on the command line")


def _is_sweep(key: str) -> bool:
    """Whether a key of Hydra sets the values of a sweep. Group options must be known before."""
    swept = key.removeprefix(_SWEPT).lstrip("+~")
    return key.startswith(_SWEPT) and not swept.startswith("hydra") and swept not in GROUPS


def _of_hydra(
    overrides: Sequence[str], config_dir: str | None, config_path: str | None, config_name: str | None
) -> dict[str, Any]:
    """Hydra's own keys. Composing them has no effect."""
    here = str(Path(__file__).parents[1] / "run.py")
    search_path = create_automatic_config_search_path(here, None, config_path or str(CONF_DIR))
    if config_dir is not None:
        query = SearchPathQuery(provider="schema")
        search_path.prepend("command-line", f"file://{os.path.abspath(config_dir)}", anchor=query)
    GlobalHydra.instance().clear()
    try:
        composed = Hydra.create_main_hydra2("synth", search_path).compose_config(
            config_name or "config",
            list(overrides),
            RunMode.RUN,
            with_log_configuration=False,
            validate_sweep_overrides=False,
        )
    finally:
        GlobalHydra.instance().clear()
    found: dict[str, Any] = OmegaConf.to_container(composed.hydra, resolve=False)  # type: ignore[assignment]
    job = {name: value for name, value in found["job"].items() if name not in _MAY_DIFFER}
    return {name: value for name, value in found.items() if name not in _OF_THIS_JOB} | {"job": job}
