"""Synth: a high-throughput batch generator of synthetic instruction-tuning data.

The public API. Names are imported lazily, so that a command loads only what it needs.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.engines import Answer, Engine, EngineError, Sampling
    from synth.errors import ConfigError
    from synth.from_python import RunFailed, generate
    from synth.pipeline import Pipeline
    from synth.quality.reward import RewardModel
    from synth.records import Record, Rejection
    from synth.sources import Source
    from synth.steps.function import StepFunction as Step
    from synth.steps.ledger import Completion
    from synth.steps.llm import LLM, Branch

__all__ = [
    "LLM",
    "Answer",
    "Branch",
    "Completion",
    "ConfigError",
    "Engine",
    "EngineError",
    "Pipeline",
    "Record",
    "Rejection",
    "RewardModel",
    "RunFailed",
    "Sampling",
    "Source",
    "Step",
    "generate",
]

__path__.append(str(Path(__file__).with_name("aliases")))

_MODULES = {
    "engines": ("Answer", "Engine", "EngineError", "Sampling"),
    "errors": ("ConfigError",),
    "from_python": ("RunFailed", "generate"),
    "pipeline": ("Pipeline",),
    "quality.reward": ("RewardModel",),
    "records": ("Record", "Rejection"),
    "sources": ("Source",),
    "steps.function": ("StepFunction",),
    "steps.ledger": ("Completion",),
    "steps.llm": ("LLM", "Branch"),
}


def __getattr__(name: str) -> Any:
    defined_as = "StepFunction" if name == "Step" else name
    module = next((module for module, names in _MODULES.items() if defined_as in names), None)
    if module is None or name not in __all__:
        raise AttributeError(f"module 'synth' has no attribute {name!r}")
    return getattr(import_module(f"synth.{module}"), defined_as)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
