"""Each member of each interface in every implementation: shipped ones, and the doubles of tests."""

import ast
import importlib.util
import inspect
import pkgutil
import textwrap
import typing
from pathlib import Path

import pytest

import synth

IMPLEMENTATIONS = {
    "synth.engines.Engine": """
        synth.engines.vllm.VLLM synth.engines.openai.OpenAI synth.engines.openai_chat.OpenAIChat
        synth.engines.transformers.Transformers synth.engines.simulated.Simulated
        tests.stage.StagedSimulated tests.damage.MadeUp
    """,
    "synth.engines.PoolingEngine": "synth.engines.vllm_pooling.VLLMPooling tests.pooling_engines.FakePooling",
    "synth.engines.Generator": "synth.schedule.pooled_engine.PooledEngine synth.schedule.usage.RecordUsage",
    "synth.engines.transports.Transport": "synth.engines.transports.Aiohttp synth.engines.transports.OpenAIClient",
    "synth.schedule.pooled_engine.Asked": "synth.schedule.engine_process.RayEngine",
    "synth.schedule.worker_handle.WorkerHandle": "synth.schedule.ray_worker.RayWorker tests.schedule.local.Local",
    "synth.schedule.pool.SharedPool": "synth.schedule.pool.GrowingPool synth.schedule.pool.PoolProcess",
    "synth.schedule.autoscaler.Engines": "synth.schedule.engine_pool.Pools",
    "synth.steps.pool.Pool": "synth.schedule.pool.Ticket",
    "synth.schedule.dedup_keys.FinalizedKeys": "synth.schedule.dedup_keys.KeyFinalizer",
    "synth.steps.dedup.SharedKeys": """
        synth.schedule.dedup_keys.KeyFinalizer synth.schedule.dedup_processes.DedupProcesses
        synth.quality.duplicates.DedupKeys synth.steps.dedup.RecordKeys
    """,
    "synth.steps.chain.Branching": "synth.schedule.launches.Launches",
    "synth.steps.chain.Turn": "synth.schedule.priority_semaphore.Slot",
    "synth.steps.python_tool.Tool": "synth.steps.python_tool.PythonTool",
    "synth.sources.Source": """
        synth.sources.files.Files synth.sources.documents.Documents synth.sources.hub.Hub synth.sources.grid.Grid
    """,
    "synth.publishing.destinations.Destination": """
        synth.publishing.destinations.Store synth.publishing.destinations.HubDataset
    """,
    "synth.sources.DrawnSource": "synth.sources.grid.Grid",
    "synth.sources.RowsByNumber": "synth.sources.store.Rows",
    "synth.quality.duplicates.Duplicates": """
        synth.quality.exact_duplicate.ExactMatches synth.quality.near_duplicate.NearMatches
        synth.quality.semantic_duplicate.SemanticMatches synth.quality.quota.Quotas synth.quality.quota.Skipping
    """,
    "synth.quality.duplicates.Index": """
        synth.quality.exact_duplicate.ExactIndex synth.quality.minhash_index.MinHashIndex
        synth.quality.vector_index.VectorIndex synth.quality.quota.QuotaIndex synth.quality.quota.SkippingIndex
    """,
    "synth.quality.duplicates.SomePart": "synth.quality.duplicates.Part",
    "synth.quality.reward.RewardModel": "synth.quality.reward.SequenceClassifier",
    "synth.quality.semantic_duplicate.Embedding": "synth.quality.embedding.TransformerEmbedding",
    "synth.verifiers.Verifier": """
        synth.verifiers.constraints.Constraints synth.verifiers.function.Function synth.verifiers.mathematics.Math
        synth.verifiers.mutation.MutationTests synth.verifiers.unit_tests.UnitTests
    """,
    "synth.report.tracking.Tracker": "synth.report.tracking.Wandb synth.report.tracking.Mlflow",
}


def named(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def members(protocol):
    """Names with what the protocol has there: a function, or something else for an attribute."""
    for kind in reversed(protocol.__mro__):
        if getattr(kind, "_is_protocol", False) and kind is not typing.Protocol:
            for name in {**vars(kind), **inspect.get_annotations(kind)}:
                if not name.startswith("_") or name in ("__call__", "__len__"):
                    yield name, vars(kind).get(name)


CASES = [
    pytest.param(named(path), name, member, named(kind), id=f"{path.rpartition('.')[2]}.{name}-{kind}")
    for path, kinds in IMPLEMENTATIONS.items()
    for name, member in dict(members(named(path))).items()
    for kind in kinds.split()
]


@pytest.mark.parametrize(("protocol", "name", "member", "kind"), CASES)
def test_an_implementation_has_the_member_in_its_form(protocol, name, member, kind):
    found = getattr(kind, name, None)
    if not inspect.isfunction(member):
        is_optional = any(name in vars(one) and name in inspect.get_annotations(one) for one in protocol.__mro__)
        assert is_optional or hasattr(kind, name) or name in annotated(kind) or name in assigned(kind)
        return
    assert callable(found), f"{kind.__name__} has no {name}()"
    is_async = inspect.iscoroutinefunction(member)
    assert gives_awaitable(found) if is_async else not inspect.iscoroutinefunction(found) or may_be_async(member)
    arguments = list(inspect.signature(member).parameters)
    bound = inspect.signature(found)
    bound.bind(*arguments)
    optional = [
        parameter.name
        for parameter in inspect.signature(member).parameters.values()
        if parameter.default is not parameter.empty
    ]
    bound.bind(*arguments[: len(arguments) - len(optional)])


def annotated(kind):
    return {name for one in kind.__mro__ for name in inspect.get_annotations(one)}


def assigned(kind):
    """What its methods set on `self`."""
    trees = (ast.parse(textwrap.dedent(inspect.getsource(one))) for one in kind.__mro__ if one is not object)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}


def gives_awaitable(function):
    return inspect.iscoroutinefunction(function) or may_be_async(function)


def may_be_async(function):
    return "Awaitable" in str(inspect.get_annotations(function).get("return"))


def test_every_interface_with_several_implementations_is_here():
    """An interface that only users implement, or that is a function, has no place in the table."""
    users = {"StepFunction", "Describes", "CheckFunction", "Watch", "Lifecycle", "Pooler"}
    found = {named_ for module in modules() for named_ in protocols_of(module)}
    assert found - users == {path.rpartition(".")[2] for path in IMPLEMENTATIONS}


def modules():
    for info in pkgutil.walk_packages(synth.__path__, "synth."):
        if not info.name.endswith("__main__"):
            source = Path(importlib.util.find_spec(info.name).origin)
            if "Protocol" in source.read_text(encoding="utf-8"):
                yield importlib.import_module(info.name)


def protocols_of(module):
    for name, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__ and getattr(kind, "_is_protocol", False):
            yield name
