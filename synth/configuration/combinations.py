"""Refuses keys that are valid alone and do not go together.

Promises: a ConfigError names one of the keys and what to do about it. Loads nothing.
"""

import os
from pathlib import Path

from synth.configuration.config import Config, key_of
from synth.configuration.settings import Settings
from synth.engines import SERVED_WAYS_TO_THINK
from synth.errors import ConfigError, nearest
from synth.publishing.destinations import HUB, local_folder
from synth.sources import is_drawn


def refuse_bad_combinations(config: Config) -> None:
    """Raises ConfigError."""
    settings = config.settings
    if settings.estimate_from is not None and not settings.dry_run:
        raise ConfigError("estimate_from: is for dry_run=true only; add that, or leave estimate_from out to run")
    if is_drawn(config.source) and settings.num_records == "all":
        raise ConfigError(f"num_records: {config.source} has no end; set the number of records to keep")
    if settings.continue_answers and settings.checkpoint_calls is False:
        raise ConfigError(
            "continue_answers: partial answers are stored with finished calls, which checkpoint_calls=false drops; "
            "leave checkpoint_calls=false out"
        )
    if settings.reuse is not None and settings.checkpoint_calls is False:
        raise ConfigError(
            "reuse: needs stored calls, which checkpoint_calls=false drops; leave checkpoint_calls=false out"
        )
    if config.source is None and settings.num_records == "all":
        raise ConfigError(
            "num_records: all needs a source with an end; choose source=file, source=hub or source=documents"
        )
    if config.cluster.address is not None and config.cluster.metrics_port is not None:
        raise ConfigError("cluster.metrics_port: the cluster at cluster.address has its own; leave it null")
    if settings.slice is not None or settings.retry:
        _refuse_what_takes_all_records(config)
    _refuse_publishing_over(settings)
    _refuse_what_no_chat_api_does(config)


def _refuse_what_takes_all_records(config: Config) -> None:
    """Refuses slices and retries of strategies whose records depend on each other."""
    shared = {"a pool": config.strategy.pool, "dedup keys": config.strategy.duplicates or None}
    is_slice = config.settings.slice is not None
    key, alone = ("slice", "a slice cannot run alone") if is_slice else ("retry", "some cannot be run again alone")
    for name in (name for name, one in shared.items() if one is not None):
        why = f"records of {config.strategy.name} share {name}, so {alone}"
        raise ConfigError(f"{key}: {why}; leave {key} out")
    for key in ("push_to_hub", "publish"):
        if is_slice and getattr(config.settings, key) is not None:
            raise ConfigError(f"{key}: a slice has no dataset; merge the slices, then use python -m synth.export")


def _refuse_publishing_over(settings: Settings) -> None:
    """Refuses a destination in the run's own folder, or that push_to_hub writes over."""
    if settings.publish is None:
        return
    if settings.publish == f"{HUB}{settings.push_to_hub}":
        raise ConfigError("publish: push_to_hub would write over it; leave push_to_hub out, or name another dataset")
    folder, run_dir = local_folder(settings.publish), Path(os.path.abspath(settings.output_dir))
    if folder is not None and (folder == run_dir or run_dir in folder.parents):
        raise ConfigError(f"publish: {settings.publish} is in output_dir={settings.output_dir}; choose another folder")


def _refuse_what_no_chat_api_does(config: Config) -> None:
    """Refuses what chat APIs can't do, as they take messages instead of tokens."""
    for name in config.all_models.keys() - config.templated.keys():
        model, kind = config.all_models[name], type(config.engines[name]).__name__
        for key in ("tokenizer", "revision", "chat_template", "pre_query", "later_pre_query", "query_stop"):
            if getattr(model, key) is not None:
                why = f"the server of the engine {kind} has the tokenizer and the chat template; leave it out"
                raise ConfigError(f"{key_of(name)}.{key}: {why}")
        for step in config.strategy.steps:
            if name in step.models_as_user:
                why = f"needs a user's turn from the model {name}, which a chat API cannot write"
                asked = f"set strategy.{step.name}.user_by=chat, or " if hasattr(step.function, "user_by") else ""
                advice = f"{asked}use engine=openai for a server that takes token ids"
                raise ConfigError(f"strategy.{step.name}: {why}; {advice}")
            for call in step.calls_of(name):
                for way in call.ways_to_think:
                    if way not in SERVED_WAYS_TO_THINK:
                        why = f"thinking: chat APIs have no mode {way!r}{nearest(way, SERVED_WAYS_TO_THINK)}"
                        raise ConfigError(f"strategy.{step.name}: {why}")
                if call.thinking_tokens is not None:
                    why = f"the chat API of the model {name} cannot close its reasoning"
                    advice = "use engine=openai for a server that takes token ids"
                    raise ConfigError(f"strategy.{step.name}: thinking_tokens: {why}; {advice}")
