"""Who made which rows: a changed step is seen, what was rejected is made again, and what is forced is written down.

Runs without Ray: the configuration, the manifest, the plan and one worker with a simulated engine, as a job has them.
"""

import sys

import pytest
from datasets import load_from_disk

from synth.components.source_code import source_code
from synth.configuration.parsing import parse
from synth.engines import Unusable
from synth.errors import ConfigError
from synth.resumption.resume import manifest_of, plan_of
from synth.resumption.slices import take_over
from synth.schedule import ray_worker
from synth.schedule.ray_worker import WorkerProcess
from synth.schedule.worker import Worker
from synth.sources.store import Contents
from synth.storage.card import card, write_card
from synth.storage.manifest import Manifest
from synth.storage.merge import merge
from synth.storage.provenance import shares
from synth.storage.run_folder import RunFolder
from tests.schedule.configs import FAST

STEP = """
from mine_helpers import word

async def step(record, llm):
    answer = await llm.chat(word(), max_tokens=8)
    if llm.rng.random() < SHARE:
        record["nope"]
    return record | {"instruction": "MARK", "response": answer.text}

step.num_outputs = 1
"""
BROKEN = {"SHARE": "0.4", "MARK": "old"}
MENDED = {"SHARE": "0", "MARK": "new"}


class Runs:
    """A run folder, the user's module, and jobs on them."""

    def __init__(self, path, module):
        self.folder, self.module = RunFolder(path / "run"), module
        self.write(**BROKEN)
        (module / "mine_helpers.py").write_text("def word():\n    return 'Hello'\n")

    def write(self, **marks):
        text = STEP
        for mark, value in marks.items():
            text = text.replace(mark, value)
        (self.module / "mine_step.py").write_text(text)

    def config(self, **keys):
        for name in ("mine_step", "mine_helpers"):
            sys.modules.pop(name, None)
        model = {"path": "demo"} | keys.pop("model", {})
        settings = {"num_records": 20, "seed": 0, "output_dir": str(self.folder.path), "shard_size": 10}
        settings |= {"resume": "auto", "min_yield": 0, "push_to_hub": None, "dry_run": False}
        strategy = {"name": "test", "columns": {}, "steps": [{"_target_": "mine_step.step"}]}
        engine = {"_target_": "synth.engines.simulated.Simulated", **FAST}
        groups = {"strategy": strategy, "model": model, "engine": engine, "cluster": {}, "source": {}}
        return parse(settings | groups | keys)

    def begin(self, **keys):
        """The configuration and the manifest of a job, and its plan."""
        config = self.config(**keys)
        folder = RunFolder(config.settings.run_dir)
        folder.make()
        manifest = manifest_of(folder, config, Contents())
        take_over(folder, manifest)
        return config, folder, manifest, plan_of(config, Contents(), manifest, 1)

    async def go(self, shards=99, **keys):
        """A job's manifest after so many shards."""
        config, folder, manifest, plan = self.begin(**keys)
        worker = Worker(
            config, folder.path, manifest.fingerprint, earlier=[one.fingerprint for one in manifest.earlier]
        )
        await worker.start()
        manifest.write(folder)
        while shards and (shard := plan.lease()):
            summary = await worker.run(shard)
            plan.commit(shard.index, summary.kept)
            manifest.committed[shard.index], shards = summary, shards - 1
        manifest.shards = plan.shards
        manifest.write(folder)
        await worker.stop()
        return manifest

    def rows(self, most=None):
        manifest = Manifest.read(self.folder)
        write_card(
            self.folder, [(self.folder, manifest)], merge([(self.folder, manifest)], self.folder.dataset, most), most
        )
        return load_from_disk(str(self.folder.dataset)).to_list()

    def made_by(self, most=None):
        manifest = Manifest.read(self.folder)
        return {share.configuration.model: share.rows for share in shares([(self.folder, manifest)], most)}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield Runs(tmp_path, tmp_path / "code")
    for name in ("mine_step", "mine_helpers"):
        sys.modules.pop(name, None)


def refused(runs, **keys):
    with pytest.raises(ConfigError) as caught:
        runs.begin(**keys)
    return str(caught.value)


async def test_a_changed_step_is_refused_by_the_name_of_its_file(runs):
    await runs.go()
    runs.write(**MENDED)
    error = refused(runs)
    assert error.startswith(f"output_dir: {runs.folder.manifest} is of another run: code of mine_step.py was ")
    assert error.endswith(
        "; choose another output_dir, or set retry=[error] to run failed records again with the changed code"
    )
    assert "force" not in error


async def test_what_a_step_imports_of_the_users_is_its_code_too(runs):
    await runs.go()
    (runs.module / "mine_helpers.py").write_text("def word():\n    return 'Bye'\n")
    assert "code of mine_helpers.py was " in refused(runs)


async def test_synths_own_version_is_part_of_a_run(runs, monkeypatch):
    await runs.go()
    monkeypatch.setattr("synth.resumption.resume.installed_versions", lambda: {"synth": "9.9"})
    assert "synth was 0.1.0, is 9.9; choose another output_dir" in refused(runs)


def test_code_is_the_same_in_another_folder_and_with_other_line_ends(runs, tmp_path, monkeypatch):
    before = source_code(runs.config().identity())
    assert list(before) == ["code of mine_helpers.py", "code of mine_step.py"]
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in runs.module.glob("*.py"):
        (other / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        path.unlink()
    monkeypatch.syspath_prepend(other)
    assert source_code(runs.config().identity()) == before


def test_a_package_counts_with_all_that_is_imported_of_it(tmp_path, monkeypatch):
    files = {
        "mine_pkg/__init__.py": "from .steps import step",
        "mine_pkg/steps.py": "import json\nfrom .texts import *\nfrom . import deep\n"
        "async def step(record, llm):\n    from mine_pkg.late import x\n",
        "mine_pkg/texts.py": "",
        "mine_pkg/deep/__init__.py": "import mine_beside",
        "mine_pkg/late.py": "x = 1",
        "mine_pkg/unused.py": "",
        "mine_beside.py": "import numpy, synth.records",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    from synth.components.instantiate import build
    from synth.steps.function import StepFunction

    node = {"deep": [{"_target_": "mine_pkg.step"}, {"_target_": "synth.steps.magpie.Magpie"}]}
    build(node["deep"][0], "here", StepFunction)
    assert {name.removeprefix("code of ") for name in source_code(node)} == set(files) - {"mine_pkg/unused.py"}
    for name in [module for module in sys.modules if module.startswith("mine_")]:
        del sys.modules[name]


async def test_records_with_errors_are_made_again_by_the_mended_step_and_no_others(runs):
    before = await runs.go()
    old = {row["id"]: row for row in runs.rows()}
    errors = before.reasons["step: error"]
    assert 0 < errors < 20 and len(old) >= 20
    runs.write(**MENDED)
    after = await runs.go(retry=["error"])
    assert not after.reasons
    new = {row["id"]: row for row in runs.rows()}
    assert {id: new[id] for id in old} == old
    assert len(new) == len(old) + errors and {new[id]["instruction"] for id in new.keys() - old.keys()} == {"new"}
    made = shares([(runs.folder, Manifest.read(runs.folder))])
    assert [one.rows for one in made] == [len(old), errors]
    assert sum(stop - start for one in made for start, stop in one.records) == len(new)
    assert made[1].unlike(made[0]).startswith("code of mine_step.py was ")
    assert "| rows | records | model |" in runs.folder.card.read_text()
    runs.begin()  # the same command goes on


async def test_by_the_same_step_they_are_made_again_too(runs):
    before = await runs.go()
    after = await runs.go(retry=["error"])
    again = await runs.go(retry=["error"])
    assert (before.retries, after.retries, again.retries) == (0, 1, 2)
    assert before.reasons == after.reasons == again.reasons  # the same seeds
    assert [summary.kept for summary in before.summaries] == [summary.kept for summary in again.summaries]
    assert len(shares([(runs.folder, again)])) == 1  # of one configuration, tried more often
    assert before.summaries[0].spent["kept"]["step"].calls == again.summaries[0].spent["kept"]["step"].calls


async def test_only_the_named_reasons_are_made_again(runs):
    await runs.go()
    _, _, manifest, plan = runs.begin(retry=["cut", "other: error"])
    assert (manifest.again, manifest.retries, plan.lease()) == (set(), 0, None)
    assert runs.begin(retry=["step: error"])[2].again


async def test_what_is_made_again_breaks_off_and_goes_on(runs):
    await runs.go()
    old = {row["id"]: row for row in runs.rows()}
    runs.write(**MENDED)
    config, folder, manifest, plan = runs.begin(retry=["error"])
    worker = Worker(config, folder.path, manifest.fingerprint, earlier=[one.fingerprint for one in manifest.earlier])
    await worker.start()
    manifest.write(folder)
    shard = plan.lease()
    await worker.run(shard, numbers=range(shard.start, shard.start + 4))  # the rest is never reached
    await worker.stop()
    assert {row["id"]: row for row in runs.rows()} == old  # until it is committed, all is as it was
    after = await runs.go(retry=["error"])
    new = {row["id"]: row for row in runs.rows()}
    assert not after.reasons and {id: new[id] for id in old} == old


async def test_records_in_journals_are_made_again_too_and_poison_once(runs):
    config, folder, manifest, plan = runs.begin()
    worker = Worker(config, folder.path, manifest.fingerprint)
    await worker.start()
    shard = plan.lease()
    await worker.run(shard, numbers=range(8), poison={9: "it died"})
    manifest.shards = plan.shards
    manifest.write(folder)
    await worker.stop()
    after = await runs.go(shards=1, retry=["poison"])
    assert set(after.summaries[0].reasons) == {"step: error"}
    assert sum(after.summaries[0].made_by.values()) == after.summaries[0].kept
    assert set(after.summaries[0].earlier) == {manifest.fingerprint}


async def test_force_writes_down_what_is_by_whom_and_keeps_every_row(runs):
    await runs.go()
    old = runs.rows()
    await runs.go(num_records=40, resume="force", model={"name": "other", "license": "mit"})
    rows = runs.rows(40)
    assert rows[: len(old)] == old
    made = runs.made_by(40)
    assert made == {"synth-demo": len(old), "other": 40 - len(old)}
    assert made == {name: [row["model"] for row in rows].count(name) for name in made}
    text = runs.folder.card.read_text()
    assert 'license: "other"' in text and "the models `synth-demo`, `other`" in text
    assert f"| {len(old)} | 0-" in text and "model.name was synth-demo, is other" in text
    result = Manifest.read(runs.folder)
    assert [configuration.model for configuration in result.configurations] == ["synth-demo", "other"]


async def test_force_takes_nothing_away(runs):
    await runs.go()
    runs.rows(20)
    error = refused(runs, num_records=5, resume="force", model={"name": "other"})
    assert error == (
        f"num_records: 5 is fewer than the 20 rows in {runs.folder.path}, and resume=force removes no rows; set 20 "
        "or more, or choose another output_dir"
    )


async def test_force_that_makes_nothing_leaves_the_run_as_it_is(runs):
    before = await runs.go()
    _, _, manifest, plan = runs.begin(resume="force", model={"name": "other"})
    assert plan.done
    assert manifest.withdraw()
    assert manifest.configuration == before.configuration and not manifest.earlier
    manifest.write(runs.folder)
    assert runs.made_by().keys() == {"synth-demo"}


async def test_force_keeps_finished_records_of_unfinished_shards_as_those_of_whoever_made_them(runs):
    config, folder, manifest, plan = runs.begin()
    worker = Worker(config, folder.path, manifest.fingerprint)
    await worker.start()
    await worker.run(plan.lease(), numbers=range(4))
    manifest.shards = plan.shards
    manifest.write(folder)
    await worker.stop()
    await runs.go(resume="force", seed=5)
    (first, second) = shares([(folder, Manifest.read(folder))])
    assert first.records == [[0, 4]] and second.records[0][0] == 4
    assert (first.configuration.identity["seed"], second.configuration.identity["seed"]) == (0, 5)


async def test_a_dataset_that_ends_within_a_mixed_shard_is_counted_row_by_row(runs):
    await runs.go()
    runs.write(**MENDED)
    await runs.go(retry=["error"])
    for most in (1, 7, 13):
        rows = runs.rows(most)
        counted = [share.rows for share in shares([(runs.folder, Manifest.read(runs.folder))], most)]
        assert counted == [n for word in ("old", "new") if (n := [row["instruction"] for row in rows].count(word))]


async def test_slices_that_were_made_again_are_one_run(runs):
    runs.write(**MENDED | {"SHARE": "0.4"})
    for number in (0, 1):
        await runs.go(slice=f"{number}/2")
    runs.write(**MENDED)
    await runs.go(slice="0/2", retry=["error"])
    await runs.go(slice="1/2", retry=["error"])
    after = await runs.go(retry=["error"])
    assert not after.reasons and len(runs.rows()) >= 20


@pytest.mark.parametrize("step", ["synth.quality.exact_duplicate.ExactDuplicate", "synth.steps.self_instruct.Tasks"])
def test_records_that_share_something_are_not_made_again_alone(runs, step):
    strategy = {"name": "test", "columns": {}, "steps": [{"_target_": step}]}
    with pytest.raises(ConfigError, match=r"^retry: records of test share .*; leave retry out$"):
        runs.config(strategy=strategy, retry=["error"])


async def test_a_worker_that_finds_other_code_than_the_run_began_with_does_not_start(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_worker, "lead_process_group", lambda: None)  # here it would be pytest's
    monkeypatch.setattr(ray_worker, "Log", lambda path: None)  # takes the output of its process
    config = runs.config()
    code = source_code(config.identity())
    worker = WorkerProcess(config.resolved, str(tmp_path), "fingerprint", 0, None, None, (), code)
    runs.write(**MENDED)
    with pytest.raises(Unusable, match=r"^code of mine_step.py was .*: the code changed after this run began"):
        await worker.start()


def test_a_card_of_one_configuration_has_no_table_of_them(runs):
    manifest = runs.begin()[2]
    assert "| rows | records |" not in card([manifest], shares([(runs.folder, manifest)]), 0)
