"""What a key is where nobody sets it: the same in the code and in conf/, and beside a key that is set."""

import functools
from dataclasses import MISSING, fields, is_dataclass, replace

import pytest
from hydra import compose, initialize_config_dir

from synth.components.instantiate import construct
from synth.configuration.config import CONF_DIR, Cluster, options, parse
from synth.engines import Sampling
from synth.steps.preference import Preference

# What a strategy sets because that is what makes it this strategy. All else in conf/ is the default, for people to see.
CHOSEN = {
    "Magpie": {"min_logprob", "only_instruction", "n_turns", "prefix", "system_prompts", "keep_system_prompt"},
    "EvolInstruct": {"answers"},
    "Judge": {"min_score", "model"},
    "UltraFeedback": {"model"},
    "Tag": {"with_response"},
    "Queries": {"criteria"},
    "TextGeneration": {"template", "system_prompt", "output", "examples"},
    "Length": {"column", "unit", "min", "max", "unless"},
    "Ending": {"column", "punctuation"},
    "Gibberish": {"column"},
    "Language": {"column", "among"},
    "Refusal": {"column"},
    "Repetition": {"column"},
    "Threshold": {"column", "min", "among"},
    "SemanticDuplicate": {"model", "min_distance"},
    "Reward": {"model"},
    "Sample": {"n", "k", "append", "passes", "verifier", "tool"},
    "Pick": {"by"},
    "Constrain": {"only"},
    "NearDuplicate": {"column"},
    "Grounded": {"judge"},  # whose model has a name
    "NeedsPassage": {"judge"},
