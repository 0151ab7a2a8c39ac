"""Hydra's and OmegaConf's errors as one line each, with the nearest valid choice.

Hydra stops at the first override that does not fit, so the keys to suggest from are found by composing again
without it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synth.config import CONF_DIR, GROUPS, nearest, options


def explain(error: Exception, arguments: Sequence[str]) -> str | None:
    """One line for an error of Hydra's, None for any other."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        choices = list(error.options or options(group))
        return f"{group}: there is no {name.removesuffix('.yaml')!r}{nearest(name, choices)}"
    if isinstance(error, ConfigCompositionException):
        key = _refused_key(error, arguments)
        if key is None:
            return _first_line(error)
        if key in GROUPS and f"+{key}=" not in " ".join(arguments):
            return f"{key}: is added with a plus sign: +{key}={nearest_option(key, arguments)}"
        known = list(_keys(arguments, without=key))
        if key in known:
            return f"{key}: is there already; leave out the plus sign"
        return f"{key}: no such key{nearest(key, known)}"
    if isinstance(error, OmegaConfBaseException):
        return f"{error.full_key}: {_first_line(error)}" if error.full_key else _first_line(error)
    if isinstance(error, HydraException):
        return _first_line(error)
    return None


def nearest_option(group: str, arguments: Sequence[str]) -> str:
    """The option that was meant for a group, as far as it can be told."""
    return next((word.partition("=")[2] for word in arguments if word.startswith(f"{group}=")), options(group)[0])


def _refused_key(error: ConfigCompositionException, arguments: Sequence[str]) -> str | None:
    """The key of the override that Hydra stopped at."""
    quoted = re.search(r"'([^']+)'", str(error))
    words = [word.partition("=")[0].lstrip("+~") for word in arguments if "=" in word]
    if quoted and quoted[1] in words:
        return quoted[1]
    return None


def _keys(arguments: Sequence[str], without: str) -> Iterator[str]:
    """All dotted keys of the configuration as composed without the refused override."""
    overrides = [
        word
        for word in arguments
        if "=" in word and not word.startswith("-") and word.partition("=")[0].lstrip("+~") != without
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        for count in range(len(overrides), -1, -1):
            try:
                composed = compose("config", overrides=overrides[:count])
            except (HydraException, OmegaConfBaseException):
                continue  # a later override may be wrong as well
            yield from _walk(OmegaConf.to_container(composed), "")
            return


def _walk(node: Any, prefix: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            dotted = f"{prefix}{key}"
            yield dotted
            yield from _walk(value, f"{dotted}.")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
