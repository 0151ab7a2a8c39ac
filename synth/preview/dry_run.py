"""The plan of a run as text: `dry_run=true`. Starts nothing and writes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from synth.configuration.chat_templates import refuse_bad_chat_template
from synth.configuration.config import Config
from synth.configuration.named_models import ServedModel
from synth.engines import Sampling
from synth.engines.repetition import RepetitionDetection
from synth.preview.estimate import estimate, size_on_disk
from synth.preview.machines import chosen, machine, too_small
from synth.preview.missing import refuse_what_is_missing
from synth.report.reserved import money
from synth.report.run_data import Run
from synth.resumption.opening import refuse_foreign
from synth.resumption.resume import manifest_of, plan_of
from synth.sources.store import Contents, survey
from synth.steps.endpoints import MAIN
from synth.storage.run_folder import RunFolder

BYTES = 6.0  # per generated token in a run's folder: text, journal, other columns


def describe(config: Config) -> str:
    """The plan of a run, without starting anything. Raises ConfigError."""
    refuse_what_is_missing(config)
    if config.are_here:
        refuse_bad_chat_template(config)
    settings, cluster = config.settings, config.cluster
    refuse_foreign(settings)
    folder = RunFolder(settings.run_dir)
    contents = survey(config.source, folder.source, RunFolder(settings.output_dir).source)
    manifest = manifest_of(folder, config, contents)
    replicas = 1 if cluster.replicas == "auto" else cluster.replicas
    plan = plan_of(config, contents, manifest, replicas)
    while plan.lease():  # the plan may grow with each lease
        pass
    run = Run(folder, manifest)
    begun = f", {plan.kept:,} records kept so far" if plan.kept else ""
    begun += f", {run.unfinished:,} more finished in journals" if run.unfinished else ""
    records = min(one for one in (manifest.wanted, manifest.own(contents.size)) if one is not None)
    left = max(0, records - plan.kept - run.unfinished)
    lines = {
        "folder": f"{folder.path}{begun}",
        "strategy": f"{config.strategy.name}: {' → '.join(step.name for step in config.strategy.steps)}",
        "model": _model(config, MAIN, config.resolved["engine"]),
        **chosen(config, machine(config)),
        **_models(config),
        "source": describe_source(config, contents),
        "records": (f"{manifest.wanted:,} to keep" if manifest.wanted else "all of the source")
        + (f", as slice {settings.slice}" if settings.slice else ""),
        **_strata(config),
        "shards": f"{len(plan.shards):,} of up to {max(map(len, plan.shards)):,} records",
        "replicas": _replicas(config),
        **_samplings(config),
        **_prompts(config, contents),
        **too_small(config, left),
        **_cost(config, left, "left" if begun else "in all"),
        **estimate(config, run if plan.kept else None, manifest, contents.size, plan.kept),
    }
    return "\n".join(f"{name:9} {text}" for name, text in lines.items())


def _strata(config: Config) -> dict[str, str]:
    rows = config.strata.rows if config.strata else {}
    quotas = (f"{column} {', '.join(f'{label} {n:,}' for label, n in of.items() if n)}" for column, of in rows.items())
    return {"strata": "; ".join(quotas)} if rows else {}


def _models(config: Config) -> dict[str, str]:
    """The models beside main, each with its engines and the steps that call it."""
    lines = []
    for name, one in config.models.items():
        asking = [step.name for step in config.strategy.steps if name in step.models]
        of = f"the engines of {one.engine_of}" if one.engine_of != name else _engines(one)
        served = _model(config, name, config.resolved["models"][name]["engine"])
        lines.append(f"{name}: {served}; {of}; called by {', '.join(asking) or 'a step of your own'}")
    return {"models": f"\n{'':9} ".join(lines)} if lines else {}


def _engines(one: ServedModel) -> str:
    gpus = one.engine.placement(False, 0).gpus
    more = " or more" if gpus and one.replicas == "auto" else ""
    return f"{one.least} engine(s){more}" + (f" of {gpus:g} GPU(s) each" if gpus else "")


def _replicas(config: Config) -> str:
    """Of main."""
    if config.cluster.replicas != "auto":
        return str(config.cluster.replicas)
    gpus = config.engine.placement(False, 0).gpus
    if gpus and any(pool.engine.placement(False, 0).gpus for pool in config.pools.values()):
        others = any(name != MAIN for name in config.autoscaled)
        shared = ", rebalanced during the run by the load of each model" if others else ""
        return f"auto: one per {gpus:g} GPU(s) that other models leave{shared}"
    return f"auto: one per {gpus:g} GPUs" if gpus > 1 else "auto: one per GPU, or one"


def _model(config: Config, name: str, engine_keys: Mapping[str, Any]) -> str:
    model, engine = config.all_models[name], engine_keys["_target_"].rpartition(".")[2]
    label = str(model.name) if model.is_demo or model.name == model.path else f"{model.name} of {model.path}"
    if "base_url" in engine_keys:
        engine += f" at {config.engines[name].base_url}"
    is_unknown = name in config.templated and not model.is_here
    unchecked = "; not on this machine yet, so its chat template is not checked" if is_unknown else ""
    return f"{label}, {engine}{unchecked}"


def describe_source(config: Config, contents: Contents) -> str:
    """The source in a few words."""
    if config.source is None:
        return "none"
    set_aside = f", {contents.bad_rows:,} bad ones set aside" if contents.bad_rows else ""
    if contents.drawn:
        return f"{config.source}" + (f", with {contents.rows:,} rows to draw{set_aside}" if contents.rows else "")
    times = f", {contents.repeat:,} times" if contents.repeat > 1 else ""
    return f"{contents.rows:,} rows of {config.source}{times}{set_aside}"


def _samplings(config: Config) -> dict[str, str]:
    """The sampling of each kind of call, by the key that sets it."""
    lines: list[str] = []
    for step in config.strategy.steps:
        keys = list(sampling_keys(step.function, step.name))
        drawn = step.description.calls or ()
        for at, sampling in enumerate(drawn):
            if sampling in drawn[:at]:
                continue
            # A step may have a sampling that no key sets.
            key = next((key for key, one in keys if one == replace(sampling, model=one.model)), step.name)
            count = drawn.count(sampling)
            times = f" ({count} times)" if count > 1 else ""
            lines.append(f"{key}: {_drawn(sampling)}{times}")
    return {"sampling": f"\n{'':9} ".join(lines)} if lines else {}


def sampling_keys(value: Any, key: str) -> Iterator[tuple[str, Sampling]]:
    """The samplings of a step, each with the key that sets it."""
    if isinstance(value, Sampling):
        yield key, value
    elif isinstance(value, list | tuple):
        for at, one in enumerate(value):
            yield from sampling_keys(one, f"{key}[{at}]" if len(value) > 1 else key)
    elif is_dataclass(value):
        for field in fields(value):
            yield from sampling_keys(getattr(value, field.name), f"{key}.{field.name}")


def _prompts(config: Config, contents: Contents) -> dict[str, str]:
    if not config.are_here:
        return {}
    from synth.preview.first_prompts import first_prompts

    lines = first_prompts(config, contents.columns)
    return {"prompts": f"\n{'':9} ".join(lines)} if lines else {}


def _drawn(sampling: Sampling) -> str:
    shown = ("temperature", "top_p", "max_tokens")
    others = [field.name for field in fields(Sampling) if getattr(sampling, field.name) != field.default]
    return ", ".join(f"{name} {_spelled(getattr(sampling, name))}" for name in dict.fromkeys([*shown, *others]))


def _spelled(value: Any) -> str:
    """Formatted like a key's value."""
    if value is None:
        return "false"
    return str(asdict(value) if isinstance(value, RepetitionDetection) else value)


def _cost(config: Config, records: int, which: str) -> dict[str, str]:
    """Calls and tokens, as far as the steps declare them."""
    most = _most(config)
    if isinstance(most, str):
        return {"calls": most}
    calls, tokens = sum(calls for calls, _ in most.values()), sum(tokens for _, tokens in most.values())
    lines = {
        "calls": f"at most {calls} per record, {records * calls:,} {which} if none is rejected",
        "tokens": f"at most {tokens:,} generated per record, {records * tokens:,} {which}",
        "disk": f"at most {size_on_disk(BYTES * records * tokens)}, {BYTES:g} bytes per token",
    }
    generated = {name: records * most.get(name, (0, 0))[1] for name in config.prices}
    prices = [
        f"{name}: at most {money(price.of(0, 0, generated[name]))} for generated tokens, "
        f"and {price.prompt:g} per million prompt tokens"
        for name, price in config.prices.items()
    ]
    return lines | ({"price": f"\n{'':9} ".join(prices)} if prices else {})


def at_most(config: Config) -> tuple[int, int] | str:
    """The most calls and generated tokens per record; or why they are unknown."""
    most = _most(config)
    if isinstance(most, str):
        return most
    return sum(calls for calls, _ in most.values()), sum(tokens for _, tokens in most.values())


def _most(config: Config) -> dict[str, tuple[int, int]] | str:
    """The same by model with engines of its own."""
    engine_of = {name: one.engine_of for name, one in config.models.items()}
    most: dict[str, tuple[int, int]] = {}
    branches: int | None = 1
    for step in config.strategy.steps:
        samplings = step.description.calls
        if samplings is None:
            return f"unknown: the step {step.name} does not declare its calls"
        if branches is None:
            calls = sum(calls for calls, _ in most.values())
            return f"at most {calls} per record before the step {step.name}, which makes an unknown number of records"
        for call in samplings:
            model = call.model or step.model
            calls, tokens = most.get(engine_of.get(model, model), (0, 0))
            most[engine_of.get(model, model)] = calls + branches, tokens + branches * call.most_tokens
        num_outputs = step.description.num_outputs
        branches = None if num_outputs is None else branches * num_outputs
    return most
