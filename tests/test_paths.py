"""Paths as users type them, in keys, in files, in Python and as arguments; and that no command writes over what it did
not write."""

import contextlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth import draw, export, generate, inspect, merge
from synth.configuration.parsing import parse
from synth.demo_model import train
from synth.errors import ConfigError
from synth.paths import expanded, local_path
from synth.report.__main__ import main as report
from tests.configuration.test_config import composed
from tests.error_lines import check_line
from tests.report.runs import kept, make_run
from tests.test_refused import snapshot

PARTS = st.sampled_from(["a", "b", "link", "..", ".", "new", "file"])


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def key(name, *words, **chosen):
    """What a key has become: a name as `settings.output_dir`."""
    found = parse(composed(*words, **({"model": "demo"} | chosen)))
    for part in name.split("."):
        found = found[int(part)] if part.isdecimal() else getattr(found, part)
    return str(found)


def test_the_home_directory_is_meant_in_every_key_that_is_a_path(home):
    (home / "m").mkdir()
    (home / "m" / "config.json").write_text("{}")
    (home / "p.jinja").write_text("Judge {{ instruction }}")
    (home / "s.jsonl").write_text('{"instruction": "Say hello."}\n')
    assert key("settings.output_dir", "output_dir='~/x'") == f"{home}/x"
    assert key("settings.estimate_from", "estimate_from='~/x'", "dry_run=true") == f"{home}/x"
    for name in ("path", "tokenizer"):
        assert key(f"model.{name}", f"model.{name}='~/m'") == f"{home}/m"
    assert key("model.chat_template", "model.chat_template='~/p.jinja'") == f"{home}/p.jinja"
    seeds = key("strategy.steps.0.function.seeds", "strategy.tasks.seeds='~/s.jsonl'", strategy="self_instruct")
    assert seeds == f"{home}/s.jsonl"
    judge = ["+strategy.judge._target_=synth.steps.judge.Judge", "+strategy.judge.prompt='~/p.jinja'"]
    judge += ["strategy.steps=['${strategy.judge}']"]
    assert key("strategy.steps.0.function.prompt", *judge) == "Judge {{ instruction }}"
    source = parse(composed("source=file", "source.path='~/s.jsonl'", strategy="text_generation", model="demo")).source
    assert [str(path) for path, *_ in source.stamp()] == [f"{home}/s.jsonl"]


def test_the_home_directory_is_meant_by_the_paths_of_a_step_of_ones_own(home, monkeypatch):
    (home / "own_paths.py").write_text(
        "from pathlib import Path\nasync def read(record, llm, file: Path | None = None):\n    return record\n"
    )
    monkeypatch.syspath_prepend(str(home))
    words = ["+strategy.read._target_=own_paths.read", "+strategy.read.file='~/words.txt'"]
    step = parse(composed(*words, "strategy.steps=['${strategy.read}']", model="demo")).strategy.steps[0]
    assert step.function.keywords == {"file": home / "words.txt"}
    sys.modules.pop("own_paths")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "'~nobody-of-this-name/x'",
            "output_dir: there is no home directory ~nobody-of-this-name; write ./~nobody-of-this-name",
        ),
        ("''", "output_dir: is empty; write . for the working directory"),
        (
            '"s3://bucket/x"',
            "output_dir: must be a local folder; set publish=s3://bucket/x to have its rows there",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(given, expected):
    with pytest.raises(ConfigError) as caught:
        parse(composed(f"output_dir={given}"))
    assert str(caught.value).startswith(expected)


def test_a_nul_is_refused_and_a_folder_may_be_called_like_a_home_directory():
    with pytest.raises(ValueError, match="NUL"):
        local_path("a\0b")
    assert local_path("./~x") == Path.cwd() / "~x" == local_path(local_path("./~x")) and expanded("a~b") == "a~b"


@settings(deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=6), st.booleans())
def test_a_path_leads_where_the_system_leads_it_once_its_folders_are_there(parts, absolute):
    """Whatever is there already: a link's `..` is the folder above what it leads to."""
    with contextlib.chdir(WORLD):
        text = os.path.join(WORLD if absolute else "", *parts)
        meant = local_path(text)
        if os.path.lexists(text):
            assert os.path.realpath(meant) == os.path.realpath(text)
        named = [part for part in meant.parts if part != ".."]
        assert ".." not in meant.parts[meant.parts.index(named[0]) if named else len(meant.parts) :]


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    global WORLD
    WORLD = str(tmp_path_factory.mktemp("world") / "deep" / "er")
    os.makedirs(f"{WORLD}/a/b")
    Path(WORLD, "file").write_text("")
    os.symlink("a/b", f"{WORLD}/link")


@pytest.fixture
def run(home):
    """A run in a folder of the home directory, with a dataset."""
    from synth.storage.manifest import Manifest
    from synth.storage.merge import merge
    from synth.storage.run_folder import RunFolder

    folder = RunFolder(make_run(home / "run", [kept(0), kept(1)]))
    merge([(folder, Manifest.read(folder))], folder.dataset)
    return folder


def test_commands_take_the_home_directory_where_no_shell_saw_it(run, home, capsys):
    assert inspect.main(["~/run"]) == 0
    assert report(["~/run", "--output=~/seen.html"]) == 0
    assert export.main(["~/run", "--format=sharegpt", "--output-dir=~/new/../out"]) == 0
    assert draw.main(["+strategy=magpie", "--svg=~/drawn.svg"]) == 0
    assert sorted(path.name for path in home.iterdir()) == ["drawn.svg", "out", "run", "seen.html"]
    assert f"2 rows in {home}/out" in capsys.readouterr().out


def test_a_dataset_from_python_is_loaded_from_where_it_was_made(run, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["synth.from_python"], "run_command", lambda words: (0, []))
    for path in ("~/run", Path("~/run"), "~/new/../run"):
        assert len(generate("magpie", output_dir=path)) == 2


@pytest.mark.parametrize("what", ["a file", "an empty file", "a link to one", "a dangling link", "a folder"])
@pytest.mark.parametrize("command", ["report", "comparison", "draw", "export"])
def test_what_a_command_did_not_write_it_does_not_write_over(run, home, capsys, command, what):
    name = {"report": "r.html", "comparison": "run/comparison.html", "draw": "d.svg", "export": "sharegpt.jsonl"}[
        command
    ]
    target = home / name
    (home / "file").write_text("mine")
    if what == "a folder":
        (target / "mine").mkdir(parents=True)
    elif "link" in what:
        target.symlink_to(home / ("file" if what == "a link to one" else "nowhere"))
    else:
        target.write_text("mine" if what == "a file" else "")
    before = snapshot(home)
    words = {
        "report": [f"{home}/run", f"--output={target}"],
        "comparison": [f"{home}/run", f"{home}/run"],
        "draw": ["+strategy=magpie", f"--svg={target}"],
        "export": [f"{home}/run", "--format=sharegpt", f"--output-dir={home}"],
    }
    main = {"draw": draw.main, "export": export.main}.get(command, report)
    free = what in ("an empty file", "a dangling link") and command != "export"
    assert main(words[command]) == (0 if free else 2)
    if not free:
        output = capsys.readouterr().err
        assert str(target) in output and output.count("\n") == 1
        assert snapshot(home) == before
    elif what == "a dangling link":
        assert target.is_symlink() and (home / "nowhere").stat().st_size


def test_what_a_command_wrote_itself_it_writes_anew(run, home):
    for _ in range(2):
        assert report(["~/run"]) == report(["~/run", "--output=~/r.html"]) == report(["~/run", "~/run"]) == 0
        assert draw.main(["+strategy=magpie", "--svg=~/d.svg"]) == 0


def test_a_report_of_another_run_is_not_written_over(run, home, capsys):
    make_run(home / "other", [kept(0)], identity={"seed": 7})
    assert report(["~/run", "--output=~/r.html"]) == 0
    assert report(["~/other", "--output=~/r.html"]) == 2
    assert "r.html can't be written (it exists and was not written by this command)" in capsys.readouterr().err


def test_a_picture_may_go_into_a_pipe(home):
    os.mkfifo(home / "pipe")
    reader = os.open(home / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert draw.main(["+strategy=magpie", "--svg=~/pipe"]) == 0
    assert os.read(reader, 100_000).startswith(b"<svg ")
    os.close(reader)


def test_the_demonstration_model_is_trained_into_a_new_folder_only(home, monkeypatch, capsys):
    (home / "mine").mkdir()
    (home / "mine" / "config.json").write_text("mine")
    monkeypatch.setattr("sys.argv", ["train", "--output-dir=~/mine"])
    with pytest.raises(SystemExit):
        train.main()
    assert f"--output-dir: {home}/mine is not empty" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["parquet", "alpaca"])
def test_an_export_that_fails_leaves_no_folder(run, home, monkeypatch, format):
    from synth.storage import export as exporting

    def full(*_):
        raise OSError(28, "No space left on device")

    (home / "there").mkdir()
    before = snapshot(home)
    monkeypatch.setattr(exporting, "exported", full)
    monkeypatch.setattr(exporting, "alpaca", full)
    monkeypatch.setitem(
        exporting.FORMATS, "alpaca", (("alpaca.jsonl",), exporting.json_lines("alpaca.jsonl", full, ("id",)))
    )
    assert export.main(["~/run", f"--format={format}", "--output-dir=~/there/deep/er"]) == 2
    assert snapshot(home) == before


@pytest.mark.parametrize("what", ["README.md", "dataset/mine", "manifest.json", "dangling README.md"])
def test_a_merge_writes_over_nothing_but_a_merge(run, home, capsys, what):
    target = home / "there" / what.removeprefix("dangling ")
    target.parent.mkdir(parents=True)
    target.symlink_to("nowhere") if "dangling" in what else target.write_text("mine")
    before = snapshot(home)
    assert merge.main(["~/run", "--output-dir=~/there"]) == 2
    assert f"{home}/there" in capsys.readouterr().err
    assert snapshot(home) == before


def test_a_merge_that_is_refused_or_fails_leaves_no_folder(run, home, monkeypatch, capsys):
    make_run(home / "empty", [])
    make_run(home / "other", [kept(0)], identity={"seed": 7})
    before = snapshot(home)
    for words in (["~/empty"], ["~/run", "~/other"], ["~/run", "~/run"], ["~/run", "~/none"]):
        assert merge.main([*words, "--output-dir=~/new/deep"]) == 2
        assert snapshot(home) == before, words

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synth.merge.write_card", full)
    assert merge.main(["~/run", "--output-dir=~/full"]) == 2
    check_line(capsys.readouterr().err.splitlines()[-1], f"error: {home}/full", "No space left on device")


def test_a_merge_goes_into_a_new_folder_and_again_into_the_same(run, home):
    for _ in range(2):
        assert merge.main(["~/run", "--output-dir=~/new/../merged"]) == 0
    assert sorted(path.name for path in (home / "merged").glob("[!.]*")) == ["README.md", "dataset"]
    assert not (home / "new").exists()
