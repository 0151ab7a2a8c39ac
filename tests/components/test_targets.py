"""What a `_target_` may name: Synth's, the user's own, plug-ins'; each in the form that its place asks for."""

import os
import sys

import pytest

from synth.components import targets
from synth.components.instantiate import build
from synth.configuration.parsing import parse
from synth.engines import Engine
from synth.errors import ConfigError
from synth.quality.reward import RewardModel
from synth.quality.semantic_duplicate import Embedding
from synth.sources import Source
from synth.steps.function import StepFunction
from synth.steps.magpie import Magpie
from tests.configuration.test_config import plain, refusal
from tests.error_lines import check_line

MODULE = """
import functools, operator, os, subprocess
from collections import OrderedDict
from subprocess import Popen
from jinja2 import Template
from synth.steps.magpie import Magpie
from synth.steps.chain import run_record

async def step(record, llm, word="x"):
    return record
step.rejections = ("never",)

bound = functools.partial(step, word="y")
shell = functools.partial(os.system)
caller = operator.methodcaller("clear")
made = type("Made", (), {"__call__": lambda self, record, llm: record})()
plain = lambda record, llm: record

class Outer:
    class Inner:
        async def __call__(self, record, llm):
            return record
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of the user's modules: `write(name, text)`."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name, text):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mine", "loud", "plug", "unrelated", "shape"):
            del sys.modules[name]


def refused(target, protocol=StepFunction, **keys):
    with pytest.raises(ConfigError) as caught:
        build({"_target_": target, **keys}, "here", protocol)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["step", "bound", "made", "plain", "Magpie"])
def test_functions_classes_and_objects_of_the_users_files_are_steps(modules, name):
    modules("mine", MODULE)
    assert callable(build({"_target_": f"mine.{name}"}, "here", StepFunction))


@pytest.mark.parametrize(
    "target",
    """subprocess.Popen os.system os.path.join builtins.eval builtins.exec shutil.rmtree functools.partial pickle.loads
    operator.methodcaller runpy.run_path importlib.import_module posix.system _posixsubprocess.fork_exec __main__.main
    pathlib.Path ctypes.CDLL test.support.run_with_locale antigravity.geohash""".split(),
)
@pytest.mark.parametrize("protocol", [StepFunction, Engine, Source, RewardModel, Embedding])
def test_nothing_of_pythons_own_is_built(target, protocol):
    assert "is refused, since " in refused(target, protocol, args=["touch", "/nowhere/owned"]) or "__" in target


def test_pythons_own_modules_are_not_even_imported():
    sys.modules.pop("antigravity", None)  # it opens a browser
    refused("antigravity.geohash")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("target", ["torch.load", "hydra.utils.instantiate", "pip.main", "jinja2.Template", "ray.init"])
def test_an_installed_package_that_is_no_plug_in_is_refused(target):
    assert "belongs to an installed package that does not require synth" in refused(target)


@pytest.mark.parametrize(
    ("name", "whose"),
    {
        "Popen": "subprocess is part of Python",
        "shell": "posix is part of Python",
        "caller": "operator is part of Python",
        "OrderedDict": "collections is part of Python",
        "Template": "jinja2.environment belongs to an installed package",
    }.items(),
)
def test_what_a_users_module_imports_is_no_part_of_it(modules, name, whose):
    modules("mine", MODULE)
    assert whose in refused(f"mine.{name}")


@pytest.mark.parametrize(
    "target",
    ["mine.subprocess.Popen", "mine.Outer.Inner", "mine.os.system", "mine.step.__call__", "mine.__builtins__.eval"],
)
def test_a_name_goes_through_modules_and_not_through_what_is_in_them(modules, target):
    modules("mine", MODULE)
    assert refused(target).startswith("here._target_: ")


@pytest.mark.parametrize(
    "target",
    """synth.run.main synth.from_python.generate synth.from_python.run_command synth.job.run
    synth.storage.run_folder.link synth.steps.chain.run_record synth.records.derive_seed
    synth.components.instantiate.build synth.storage.merge.merge
    synth.sources.files.Files synth.engines.simulated.Simulated synth.models.model.Model""".split(),
)
def test_of_synth_only_steps_are_steps(target):
    keys = {"context": 1} if target.endswith("run_record") else {}
    assert " is not a valid step: " in refused(target, **keys)


def test_a_plug_in_requires_synth(modules, tmp_path, monkeypatch):
    site = tmp_path / "lib" / "site-packages"
    for name, requires in {"plug": "synth>=0.1", "unrelated": "synthesizer"}.items():
        info = site / f"{name}_dist-1.0.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\nRequires-Dist: {requires}\n"
        )
        info.joinpath("top_level.txt").write_text(f"{name}\n")
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("async def step(record, llm):\n    return record\n")
    monkeypatch.syspath_prepend(site)
    targets.plug_ins.cache_clear()
    assert build({"_target_": "plug.step"}, "here", StepFunction)
    assert "unrelated belongs to an installed package" in refused("unrelated.step")
    assert "unrelated" not in sys.modules


def test_a_module_that_ends_python_is_one_line(modules):
    modules("loud", "import sys\nsys.exit(0)")
    assert "can't be imported (SystemExit: 0)" in refused("loud.step")


def test_keys_of_hydras_instantiate_are_refused(modules):
    modules("mine", MODULE)
    for key in ("_args_", "_recursive_", "_convert_"):
        assert refused("mine.step", **{key: []}).startswith(f"here.{key}: ")
    assert build({"_target_": "mine.step", "_partial_": True}, "here", StepFunction)


def test_a_bound_function_still_tells_of_itself(modules):
    modules("mine", MODULE)
    assert build({"_target_": "mine.step", "word": "z"}, "here", StepFunction).rejections == ("never",)


def test_a_target_inside_of_a_parameter_is_built_in_its_own_role(tmp_path):
    owned = tmp_path / "owned"
    for step, key in {
        "synth.quality.reward.Reward": "model",
        "synth.steps.preference.Preference": "reward_model",
    }.items():
        node = {"_target_": "subprocess.Popen", "args": ["touch", str(owned)]}
        assert "subprocess is part of Python" in refusal(
            plain() | {"strategy": {"steps": [{"_target_": step, key: node}]}}
        )
    node = {
        "_target_": "synth.quality.contamination.Decontaminate",
        "against": [{"_target_": "os.system", "command": "x"}],
    }
    assert "os is part of Python" in refused(node.pop("_target_"), **node)
    assert not owned.exists()


def test_an_engine_and_a_source_are_looked_at_too(tmp_path):
    for group in ("engine", "source"):
        error = refusal(plain() | {group: {"_target_": "subprocess.Popen", "args": ["touch", str(tmp_path / "owned")]}})
        assert error.startswith(f"{group}._target_: 'subprocess.Popen' is refused")
    assert not os.listdir(tmp_path)


ENGINE = """
from synth.engines import Placement, EngineStats, Answer
class Whole:
    concurrency = 4
    def placement(self, on_gpu, replicas_beside): return Placement()
    async def start(self): self.max_model_len = 100
    async def generate(self, prompt, sampling): return Answer([], "stop", 0)
    def stats(self): return EngineStats()
    async def stop(self): ...
"""
SOURCE = """
class Rows:
    def stamp(self): return 1
    def read(self): yield {"instruction": "x"}
"""


def test_an_engine_is_whole_before_it_starts(modules):
    modules("shape", ENGINE)
    assert build({"_target_": "shape.Whole"}, "engine", Engine).concurrency == 4


@pytest.mark.parametrize(
    ("is_", "was", "expected"),
    [
        ("", "concurrency = 4", "it has no attribute concurrency"),
        ("concurrency = 0", "concurrency = 4", "its concurrency must be greater than 0, and is 0"),
        ("concurrency = '4'", "concurrency = 4", "its concurrency must be a valid integer, and is '4'"),
        ("def concurrency(self): return 4", "concurrency = 4", "its concurrency must be a valid integer"),
        ("pass", "self.max_model_len = 100", "it has no attribute max_model_len"),
        ("def generate", "async def generate", "generate() must be async"),
        ("generate(self, prompt)", "generate(self, prompt, sampling)", "generate() can't be called with (prompt, s"),
        ("async def stats", "def stats", "stats() must not be async"),
        ("stats(self, more)", "stats(self)", "stats() can't be called with (): missing a required argument"),
        ("statistics(self)", "stats(self)", "it has no stats()"),
        ("placement(self)", "placement(self, on_gpu, replicas_beside)", "placement() can't be called with"),
        ("stop = None\n    async def end", "async def stop", "it has no stop()"),
    ],
)  # fmt: skip
def test_an_engine_that_is_not_whole_is_refused_where_the_configuration_is_read(modules, is_, was, expected):
    modules("shape", ENGINE.replace(was, is_))
    assert refused("shape.Whole", Engine).startswith(f"here._target_: 'shape.Whole' is not a valid engine: {expected}")


def test_a_source_needs_a_stamp_and_rows_and_synth_sees_to_the_rest(modules):
    modules("shape", SOURCE)
    keys = {"columns": {"prompt": "instruction"}, "limit": 3, "repeat": 2, "bad_rows": "set_aside"}
    given = build({"_target_": "shape.Rows", **keys}, "source", Source)
    usual = build({"_target_": "shape.Rows"}, "source", Source)
    assert {name: getattr(given, name) for name in keys} == keys
    assert (usual.columns, usual.limit, usual.repeat, usual.bad_rows) == ({}, None, 1, "stop")
    check_line(refused("shape.Rows", Source, repeat=0), "here.repeat", "at least 1", "0")
    assert refused("shape.Rows", Source, repeats=2) == "here.repeats: no such key"


@pytest.mark.parametrize(
    ("is_", "was", "expected"),
    [
        ("async def read", "def read", "read() must not be async"),
        ("read(self, path)", "read(self)", "read() can't be called with ()"),
        ("", "def stamp(self): return 1", "it has no stamp()"),
        ("repeat = 'x'\n    def stamp", "def stamp", "its repeat must be a valid integer"),
    ],
)
def test_a_source_that_is_not_whole_is_refused(modules, is_, was, expected):
    modules("shape", SOURCE.replace(was, is_))
    assert expected in refused("shape.Rows", Source)


STEP = """
class Step:
    async def __call__(self, record, llm): return record
    {}
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("needs = (('instruction',),)", "it has no needs()"),
        ("def needs(self): return ['instruction']", "needs() returns ['instruction']"),
        ("def needs(self): return 1 / 0", "ZeroDivisionError"),
        ("async def needs(self): return []", "needs() must not be async"),
        ("calls = []", "it has no calls()"),
        ("def calls(self): return 3", "calls() returns 3"),
        ("rejections = 'no_word'", "its rejections 'str' instances"),
        ("num_outputs = 'many'", "its num_outputs must be a valid integer"),
        ("num_outputs = 0", "its num_outputs must be a whole number above 0, or None, and is 0"),
        ("pool = 3", "of its pool, it has no attribute seeds"),
        ("duplicates = type('D', (), {'reason': 'x'})()", "of its duplicates, it has no index()"),
        ("duplicates = type('D', (), {'reason': 'x', 'index': lambda self: 3})()", "it has no put(places, keys)"),
    ],
)  # fmt: skip
def test_what_a_step_tells_of_itself_is_checked_where_the_configuration_is_read(modules, line, expected):
    modules("shape", STEP.format(line))
    given = refusal(plain() | {"strategy": {"steps": [{"_target_": "shape.Step"}]}})
    assert given.startswith("strategy.steps[0]: 'shape.Step' has an invalid declaration: ") and expected in given


@pytest.mark.parametrize(
    ("model", "protocol", "expected"),
    [
        ("def embed(self, text): return [1.0]", Embedding, "embed() must be async"),
        ("async def embed(self): return [1.0]", Embedding, "embed() can't be called with (text)"),
        ("async def encode(self, text): return [1.0]", Embedding, "it has no embed(text)"),
        ("def score(self): return 1.0", RewardModel, "score() can't be called with (messages)"),
        ("score = 3", RewardModel, "it has no score(messages)"),
    ],
)
def test_models_of_filters_are_checked_before_they_are_made(modules, tmp_path, model, protocol, expected):
    modules(
        "shape", f"class Model:\n    def __init__(self):\n        open({str(tmp_path / 'made')!r}, 'w')\n    {model}"
    )
    assert expected in refused("shape.Model", protocol)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_reward_model_may_be_async_or_not(modules, kind):
    modules("shape", f"class Model:\n    {kind} score(self, messages):\n        return 1.0")
    assert build({"_target_": "shape.Model"}, "here", RewardModel)


def test_shipped_steps_are_steps():
    assert isinstance(build({"_target_": "synth.steps.magpie.Magpie"}, "here", StepFunction), Magpie)


def test_a_function_with_parameters_tells_of_itself_what_it_tells_without(modules):
    modules(
        "told",
        """
async def shorten(record, llm, words=20): ...

shorten.columns = {"words": "int64"}
shorten.needs = lambda: [{"response": "text"}]
shorten.rejections = ("empty",)
shorten.calls = list
""",
    )
    plainly, bound = ({"_target_": "told.shorten", **more} for more in ({}, {"words": 5}))
    for node in (plainly, bound):
        [step] = parse(plain() | {"strategy": {"steps": [node]}}).strategy.steps
        result = step.description
        assert (result.needs, result.rejections, result.calls) == ([{"response": "text"}], ("empty",), [])
        assert set(step.columns) == {"words"} and step.declares_calls
