"""Hydra's config groups: where their files are, which options they have, which one was chosen."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from synth.configuration.named_models import preset_names

_PACKAGE = Path(__file__).parents[1]
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
GROUPS = ("strategy", "model", "engine", "cluster", "source")


def options(group: str) -> list[str]:
    """The options of `group=NAME`: the shipped ones and, while Hydra runs, the user's own."""
    return preset_names(group, folders())


def folders() -> list[Path]:
    """The folders of config groups; the user's own precede Synth's."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    return [*(Path(source.path) for source in sources if source.schema == "file"), CONF_DIR]


def chosen_option(group: str) -> str | None:
    """The chosen option of a group, from the command line or a defaults list."""
    return HydraConfig.get().runtime.choices.get(group) if HydraConfig.initialized() else None
