"""Checks of a run's chat templates and tokenizers: whether they can be loaded, and can do what the steps ask of them.

Takes seconds, and so is no part of parsing, but far less than engines do to start.
"""

from typing import TYPE_CHECKING

from synth.configuration.config import Config, key_of
from synth.errors import ConfigError, reason
from synth.models.model import Model
from synth.steps.strategy import Step

if TYPE_CHECKING:
    from synth.chat import ChatTemplate

_ANY_SYSTEM_PROMPT = [{"role": "system", "content": "Be kind."}]


def refuse_bad_chat_template(config: Config) -> None:
    """Loads tokenizers, which takes seconds, to find errors before engines take minutes. Raises ConfigError."""
    from huggingface_hub.utils import logging

    from synth.chat import ChatTemplateError

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # else it logs each try to reach the Hub
    as_user: dict[str, list[Step]] = {}
    for step in config.strategy.steps:
        for name in step.models_as_user:
            as_user.setdefault(name, []).append(step)
    seen: list[Model] = []
    for name, model in config.templated.items():
        key = key_of(name)
        if name not in config.generating:
            _refuse_unfit_pooling(config, name)
            continue
        thinking = [(step, way) for step in config.strategy.steps for way in _ways_to_think(step, name)]
        if model in seen and name not in as_user and not thinking:
            continue
        seen.append(model)
        try:
            template = model.load_chat_template()
            for step in as_user.get(name, []):
                _refuse_none_where_one_is_demanded(step, name, template)
                template.pre_query(_ANY_SYSTEM_PROMPT if template.needs_system else [])
            for step, way in thinking:
                try:
                    template.check_thinking(way)
                except ChatTemplateError as error:
                    raise ConfigError(f"strategy.{step.name}: of the model {name}, {error}") from None
        except ConfigError:
            raise
        except ChatTemplateError as error:
            raise ConfigError(f"{key}: {error}") from None
        except (OSError, ValueError) as error:
            message = f"the tokenizer of {model.path!r} can't be loaded: {reason(error)}"
            raise ConfigError(f"{key}.path: {message}") from None


def _refuse_none_where_one_is_demanded(step: Step, name: str, template: "ChatTemplate") -> None:
    if template.needs_system and not (step.description.under_system_prompt or step.system_prompt):
        why = f"has no system prompt, and the chat template of the model {name} requires one"
        raise ConfigError(f"strategy.{step.name}: {why}; with Magpie set system_prompts and keep_system_prompt=true")


def _ways_to_think(step: Step, model: str) -> list[str]:
    """The modes of thinking that a step uses. Raises ConfigError if it sets one for a user's turn."""
    for call in step.description.as_user:
        for key in ("thinking", "thinking_tokens"):
            if getattr(call, key) is not None:
                why = "a user's turn has no reasoning; set it for the sampling of an answer"
                raise ConfigError(f"strategy.{step.name}: {key}: {why}")
    return list(dict.fromkeys(way for call in step.calls_of(model) for way in call.ways_to_think))


def _refuse_unfit_pooling(config: Config, name: str) -> None:
    """Scoring conversations needs a chat template, and a scoring model."""
    from synth.chat import ChatTemplateError

    model, engine = config.models[name].model, config.models[name].engine
    asking = {step.name: step.pooling[name] for step in config.strategy.steps if name in step.pooling}
    try:
        task = getattr(engine, "task", None)  # a user's engine may set it at its start
        prompts = model.load_pooling_input()
        if "score" in asking.values() and task != "embed":
            _ = prompts.template
    except ChatTemplateError as error:
        raise ConfigError(f"{key_of(name)}: {error}") from None
    except (OSError, ValueError) as error:
        message = f"the tokenizer of {model.path!r} can't be loaded: {reason(error)}"
        raise ConfigError(f"{key_of(name)}.path: {message}") from None
    for step, asked in asking.items():
        if task not in (None, asked):
            raise ConfigError(f"strategy.{step}: needs {name!r} to {asked}, but that model can only {task}")
