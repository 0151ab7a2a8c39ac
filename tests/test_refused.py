"""What a refused run leaves behind: nothing new, and all that was there as it was, by whatever path it is named."""

import errno
import os
import stat
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth import generation, job
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.from_python import generate
from synth.records import Slice
from synth.resumption.resume import manifest_of, plan_of
from synth.run import main
from synth.sources.store import Contents
from synth.storage.manifest import Manifest
from synth.storage.run_folder import InUse, RunFolder
from tests.configuration.test_config import composed
from tests.error_lines import check_line

WORDS = ("engine=simulated", "source=file", "source.path=rows.jsonl", "num_records=all")


def snapshot(root):
    """Every name below a folder, with what can be told of it."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            status = path.lstat()
            held = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            changed = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else None
            found[str(path.relative_to(root))] = (status.st_mode, status.st_ino, held, changed)
    return found


def begun(path, *, seed=0):
    """A folder in which a run has begun, with another source."""
    config = parse(composed(*WORDS, f"seed={seed}", f"output_dir={path}", strategy="text_generation", model="demo"))
    folder, contents = RunFolder(config.settings.run_dir), Contents(5, 0, ["instruction"], "another")
    folder.make()
    manifest = manifest_of(folder, config, contents)
    plan = plan_of(config, contents, manifest, 1)
    plan.next()
    manifest.shards = plan.shards
    manifest.write(folder)
    folder.config.write_text("made: by a run\n")
    folder.source.mkdir()
    (folder.source / "rows.jsonl").write_text("{}\n")
    (folder.path / ".lock").write_text("process 1 on elsewhere since 2026-01-01 00:00:00 UTC")
    (folder.shards / ".00000.arrow.elsewhere.123").write_text("half a shard")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folders and links of a user's, and runs, in a working directory and beside it."""
    root = tmp_path_factory.mktemp("world")
    here = root / "here"
    for path in ("pr/precious", "empty", "notes"):
        (here / path).mkdir(parents=True)
    (here / "pr" / "precious" / "thesis.txt").write_text("thesis")
    (here / "file").write_text("a file")
    (here / "notes" / "README.md").write_text("mine")
    (here / "link").symlink_to("pr/precious")
    (here / "dangling").symlink_to("nowhere")
    (root / "home" / "kept").mkdir(parents=True)
    begun(here / "run")
    begun(here / "sliced" / "slices" / "0-of-2")
    os.symlink("run", here / "to_run")
    return root


@asynccontextmanager
async def no_room(cluster, engine, others):
    raise ConfigError("cluster.replicas: there is no room")
    yield


def full_disk(self, folder):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


GOOD_ROW, BAD_ROW = '{"instruction": "a"}\n', '{"instruction": \n'
KINDS = {
    "a bad row": (GOOD_ROW * 3 + BAD_ROW, []),
    "no rows": ("", []),
    "a column that is not there": ('{"prompt": "a"}\n', []),
    "no such tokenizer": (GOOD_ROW, ["model.chat_template=mute.jinja"]),
    "a slice too many": (GOOD_ROW * 2, ["slice=2/3"]),
    "a bad row of a slice": (BAD_ROW, ["slice=0/2"]),
    "no room in the cluster": (GOOD_ROW * 2, []),
    "no room for a slice": (GOOD_ROW * 9, ["slice=1/2"]),
    "a full disk": (GOOD_ROW * 2, []),
    "resume=never": (GOOD_ROW * 2, ["resume=never"]),
}
PARTS = ["pr", "precious", "new", "..", "link", "dangling", "file", "run", "to_run", "sliced", "empty", "notes"]
PARTS += ["é\n x", "n" * 255, "n" * 256]


def refused(here, kind, path):
    rows, words = KINDS[kind]
    (here / "rows.jsonl").write_text(rows)
    (here / "mute.jinja").write_text("{{ nothing")
    config = composed(*WORDS, *words, strategy="text_generation", model="demo")
    before = snapshot(here.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "connected", no_room)
        if kind == "a full disk":
            patch.setattr(Manifest, "write", full_disk)
        with pytest.raises(ConfigError) as caught:
            job.run(parse(dict(parse(config).resolved) | {"output_dir": path}))
    assert "\n" not in str(caught.value)
    assert snapshot(here.parent) == before, str(caught.value)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5),
    start=st.sampled_from(["", "./", "~/", "../here/", "{here}/", "../home/kept/../"]),
)
def test_a_refused_run_leaves_everything_as_it_was(world, monkeypatch, kind, parts, start):
    here = world / "here"
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(world / "home"))
    refused(here, kind, start.format(here=here) + "/".join(parts))


def test_a_refused_call_from_python_leaves_everything_as_it_was(world, monkeypatch):
    monkeypatch.chdir(world / "here")
    (world / "here" / "rows.jsonl").write_text(BAD_ROW)
    before = snapshot(world)
    with pytest.raises(ConfigError, match=r"rows\.jsonl:1:"):
        generate("text_generation", overrides=WORDS, output_dir="pr/new/../precious")
    assert snapshot(world) == before


@pytest.mark.parametrize("words", [[], ["slice=0/2,1/2"], ["seed=1,2"], ["seed=1,2", "dry_run=true"]])
def test_a_refused_sweep_leaves_everything_as_it_was(world, monkeypatch, capsys, words):
    monkeypatch.chdir(world / "here")
    (world / "here" / "rows.jsonl").write_text(BAD_ROW)
    before = snapshot(world)
    assert main(["--multirun", "+strategy=text_generation", *WORDS, "output_dir=pr/new/../precious", *words]) == 2
    assert "rows.jsonl:1:" in capsys.readouterr().err
    assert snapshot(world) == before


NAMES = ["README.md", "config.yaml", "metrics.jsonl", "report.html", "tracking.json", "pool.jsonl", ".lock"]
NAMES += ["dataset/a", "shards/00000.arrow", "logs/worker-0.log", "source/rows.jsonl", "slices/mine"]
NAMES += [".dataset.former/a"]


@pytest.mark.parametrize("dry", ["dry_run=false", "dry_run=true"])
@pytest.mark.parametrize("name", NAMES)
def test_what_a_run_would_write_over_is_named(tmp_path, name, dry):
    (tmp_path / "project" / name).parent.mkdir(parents=True)
    (tmp_path / "project" / name).write_text("mine")
    (tmp_path / "project" / "notes.txt").write_text("mine too")
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError) as caught:
        work(composed("engine=simulated", dry, f"output_dir={tmp_path}/project", model="demo"))
    expected = (
        f"output_dir: {tmp_path}/project is no run folder and has {name.partition('/')[0]}; choose another output_dir"
    )
    assert str(caught.value) == expected
    assert snapshot(tmp_path) == before


def work(config):
    from synth.preview.dry_run import describe

    config = parse(config)
    return describe(config) if config.settings.dry_run else job.run(config)


def test_a_run_that_lost_its_manifest_is_a_run(tmp_path):
    with NewRun(tmp_path) as run:
        run.begin()
    (tmp_path / "README.md").write_text("its card")
    run.folder.manifest.unlink()
    assert run.folder.foreign() == []


def test_a_link_in_the_place_of_what_a_run_writes_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "dataset").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is no run folder and has dataset"):
        work(composed("engine=simulated", f"output_dir={tmp_path}/run", model="demo"))


@pytest.mark.parametrize("names", [[], ["notes.txt", "data/a.jsonl"], ["dataset/", "logs/", "shards/", "slices/"]])
def test_a_folder_with_nothing_of_a_runs_in_it_is_taken(tmp_path, monkeypatch, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("mine")
    before = snapshot(tmp_path)
    monkeypatch.setattr(generation, "connected", no_room)
    with pytest.raises(ConfigError, match="there is no room"):
        work(composed("engine=simulated", f"output_dir={tmp_path}", model="demo"))
    assert snapshot(tmp_path) == before


def test_two_runs_that_want_one_folder_are_kept_apart_though_one_of_them_is_refused(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(ConfigError, match="no room"), NewRun(path):
        with pytest.raises(InUse), RunFolder(path).locked():
            pass
        raise ConfigError("no room")
    assert not path.exists()


class NewRun:
    """A run that has opened its folder, and not begun."""

    def __init__(self, path):
        from synth.resumption.opening import opened

        self._opened = opened(parse(composed("engine=simulated", f"output_dir={path}", model="demo")))

    def __enter__(self):
        return self._opened.__enter__()

    def __exit__(self, *error):
        return self._opened.__exit__(*error)


def test_a_lock_that_is_taken_away_while_it_is_waited_for_is_taken_anew(tmp_path):
    from synth.storage.lock import locked_file
    from synth.storage.new_paths import NewPaths

    path = tmp_path / ".lock"
    former = path.open("w+b")
    path.unlink()
    real, first = Path.open, True

    def late(self, *args, **kwargs):
        nonlocal first
        if first and self == path:
            first = False
            return former  # opened just before its owner took it away
        return real(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", late)
        with NewPaths() as new, locked_file(path, new=new) as (file, _):
            assert os.path.samestat(os.fstat(file.fileno()), path.stat())
    assert not path.exists()


def test_what_begins_stays(tmp_path):
    with NewRun(tmp_path / "a" / "new" / ".." / "run") as run:
        run.begin()
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["run"]
    assert sorted(path.name for path in run.folder.path.iterdir()) == [
        ".lock", "config.yaml", "logs", "manifest.json", "shards"
    ]  # fmt: skip


def test_a_run_that_goes_on_begins_by_clearing_what_killed_processes_left(tmp_path):
    with NewRun(tmp_path) as run:
        run.begin()
    for name in ("shards/.00000.arrow.host.1", ".config.yaml.host.name.2", ".source.host.3/rows.jsonl", ".mine.host.4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    with NewRun(tmp_path) as run:
        assert (tmp_path / ".source.host.3").exists()
        run.begin()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob(".*")}
    assert left == {".lock", ".mine.host.4"}


def test_a_slice_that_is_refused_leaves_the_other_slices_locks(tmp_path):
    with NewRun(tmp_path / "run"):
        pass
    words = ["engine=simulated", f"output_dir={tmp_path}/run", "num_records=100"]
    from synth.resumption.opening import opened

    with opened(parse(composed(*words, "slice=0/2", model="demo"))) as first:
        with pytest.raises(ConfigError, match="no room"), opened(parse(composed(*words, "slice=1/2", model="demo"))):
            raise ConfigError("no room")
        first.begin()
        whole = RunFolder(tmp_path / "run")
        with pytest.raises(InUse), whole.locked():
            pass
    assert list(whole.slices()) == [Slice(0, 2)]


def test_a_folder_that_is_in_the_way_of_another_user_is_one_line(tmp_path, as_another):
    (tmp_path / "mine").mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    for path in ("mine/x", "mine/x/y", "x", "mine"):
        result = as_another(f"output_dir={tmp_path}/{path}")
        assert result.startswith(f"output_dir: {tmp_path}/{path} can't be written to (Permission denied)")
    model = f"{tmp_path}/mine/m"
    check_line(as_another(f"model.path={model}"), f"model.path: {model!r}", "Permission denied")
    assert as_another(f"model.chat_template={tmp_path}/mine/m").startswith("model.chat_template: ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture
def as_another():
    """What a run is refused with whose user is nobody."""
    if os.geteuid():
        pytest.skip("only root can be somebody else")

    def told(*words):
        data = composed("engine=simulated", *words, model="demo")
        os.seteuid(65534)
        try:
            with pytest.raises(ConfigError) as caught:
                job.run(parse(data))
            return str(caught.value)
        finally:
            os.seteuid(0)

    return told
