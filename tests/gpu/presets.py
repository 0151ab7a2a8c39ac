"""The presets as they are meant for GPUs: what conf/model says of a context and of the GPUs of one engine."""

import re
from dataclasses import dataclass
from functools import cached_property

from omegaconf import OmegaConf

from synth.configuration.config_groups import CONF_DIR
from tests.gpu.shapes import SHAPES


@dataclass(frozen=True)
class Preset:
    name: str

    @cached_property
    def text(self) -> str:
        return (CONF_DIR / "model" / f"{self.name}.yaml").read_text(encoding="utf-8")

    @property
    def gpus(self) -> int:
        """Of 80 GB, of one engine, as its comment says."""
        found = re.search(r"engine\.tensor_parallel_size=(\d+) on GPUs of 80 GB", self.text)
        return int(found[1]) if found else 1

    @property
    def context(self) -> int | None:
        return OmegaConf.create(self.text).get("max_model_len")

    @property
    def fits_24_gib(self) -> bool:
        return "fits GPUs of 24 GiB" in self.text


PRESETS = [Preset(name) for name in SHAPES]
