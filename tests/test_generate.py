"""synth.generate: what the command line does, from Python; on real Ray, with a simulated engine."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import Dataset
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as some

import synth
from synth.errors import ConfigError
from synth.from_python import in_python, override_value, override_words
from synth.steps.respond import Respond

ENGINE = {"engine": "simulated", "engine.tokens_per_second": 2000, "engine.median_tokens": 20}


def test_groups_are_chosen_and_their_keys_are_dicts_or_dotted_names():
    keys = {"strategy": "magpie", "model": "demo", "engine": {"max_num_seqs": 64}, "strategy.magpie.n_turns": 2}
    assert list(override_words(keys)) == [
        "+strategy=magpie",
        "model=demo",
        "++engine.max_num_seqs=64",
        "++strategy.magpie.n_turns=2",
    ]


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("choose one by source=NAME", "choose one by source=NAME"),
        ("the first is added: +strategy=magpie", "the first is added: strategy='magpie'"),
        (
            "rename a column by 'source.columns={topic: prompt}'",
            "rename a column by source={'columns': {'topic': 'prompt'}}",
        ),
        ("a name on the Hub goes into model.path=org/model", "a name on the Hub goes into model={'path': 'org/model'}"),
        ("resume=never starts anew", "resume='never' starts anew"),
        ("num_records=5 is too few", "num_records=5 is too few"),
        ("'x=1' is no number, nor is my.model.path=2", "'x=1' is no number, nor is my.model.path=2"),
    ],
)
def test_advice_is_given_as_python_has_it(typed, written):
    assert in_python(typed) == written


@given(some.text().filter(lambda text: "${" not in text and "\0" not in text))
def test_every_text_is_read_as_it_was_given(text):
    value = OverridesParser.create().parse_override(f"++key={override_value(text)}").value()
    assert getattr(value, "text", value) == text


@pytest.mark.parametrize("value", [None, True, 3, 0.5, 1e-9, [1, "a,b", None], [{"text": "a: b", "weight": 2}], {}])
def test_every_value_is_read_as_it_was_given(value):
    read = OverridesParser.create().parse_override(f"++key={override_value(value)}").value()
    assert repr(read).replace("QuotedString", "") and plain(read) == value


def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return getattr(value, "text", value)


@pytest.fixture(scope="module")
def made():
    """A dataset that was made inside of a running event loop, as a notebook has one."""

    async def cell():
        return synth.generate(strategy="magpie", num_records=20, seed=3, **ENGINE)

    return asyncio.run(cell())


@pytest.mark.slow
def test_a_dataset_comes_back_inside_of_a_running_event_loop(made):
    assert len(made) == 20
    assert [turn["role"] for turn in made[0]["messages"]] == ["user", "assistant"]


@pytest.mark.slow
def test_a_second_call_makes_the_same_dataset_and_tells_how_it_went(made, tmp_path, capsys):
    again = synth.generate("magpie", num_records=20, seed=3, output_dir=tmp_path, **ENGINE)
    assert again.to_list() == made.to_list()
    assert "20 records kept, 0 rejected" in capsys.readouterr().out
    assert (tmp_path / "manifest.json").exists()


@pytest.mark.slow
def test_the_dataset_in_a_temporary_folder_is_gone_with_the_process():
    script = f"""
import synth
made = synth.generate("magpie", num_records=2, **{ENGINE!r})
print(made.map(lambda row: {{"length": len(row["response"])}})[0]["length"] > 0, made.cache_files[0]["filename"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    told, path = done.stdout.split()[-2:]
    assert told == "True", done.stderr
    assert not Path(path).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"num_record": 5}, "num_record: no such key; did you mean 'num_records'?"),
        ({"model": "dem"}, "model: there is no 'dem'; did you mean 'demo'?"),
        ({"engine": {"max_num_seq": 5}}, "engine.max_num_seq: no such key; did you mean 'max_num_seqs'?"),
        ({"overrides": ["num_records=none"]}, "num_records: must be a whole number or 'all', got 'none'"),
    ],
)
def test_what_the_command_line_refuses_is_a_config_error_in_the_same_words(keys, message, capsys):
    with pytest.raises(ConfigError) as caught:
        synth.generate("magpie", **keys)
    assert str(caught.value) == message
    assert not capsys.readouterr().out


def test_overrides_are_words_in_a_list():
    with pytest.raises(ConfigError, match=r"overrides: must be a list of words, as \['num_records=4'\]"):
        synth.generate("magpie", overrides="num_records=4")


def test_a_dry_run_has_no_dataset_to_give():
    with pytest.raises(ConfigError, match="dry_run"):
        synth.generate("magpie", dry_run=True)


@pytest.mark.slow
def test_an_interrupt_stops_the_run_and_the_same_call_goes_on(tmp_path):
    def interrupt():
        while not list(tmp_path.glob("shards/*.journal.arrow")):
            time.sleep(0.1)
        signal.raise_signal(signal.SIGINT)

    slow = ENGINE | {"engine.tokens_per_second": 5, "engine.max_num_seqs": 4}
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        synth.generate("magpie", num_records=40, output_dir=tmp_path, **slow)
    assert len(synth.generate("magpie", num_records=40, output_dir=tmp_path, **ENGINE)) == 40


ROWS = [{"instruction": f"Count to {number}.", "note": {"of": number}} for number in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [ROWS, iter(ROWS), Dataset.from_list(ROWS)], ids=["list", "iterator", "dataset"])
def test_rows_are_a_source_and_a_pipeline_a_strategy(rows, tmp_path):
    keys = {"num_records": "all", "output_dir": tmp_path, **ENGINE}
    made = synth.generate(synth.Pipeline(Respond(), name="answers"), source=rows, **keys)
    assert made["instruction"] == [row["instruction"] for row in ROWS]
    assert set(made["strategy"]) == {"answers"} and all(made["response"])
    if not isinstance(rows, Iterator):
        again = synth.generate(synth.Pipeline(Respond(), name="answers"), source=rows, **keys)
        assert again.to_list() == made.to_list()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["Count to 3."], "source: must be rows, each a dict of columns, and row 0 is 'Count to 3.'"),
        ([{"a": 1}, {"a": {1}}], "source: row 1 is not plain data"),
        (7, "source: must be a list of dicts, a Dataset, a file's path, or keys; got 7"),
    ],
)
def test_a_source_that_is_no_rows_is_refused(rows, message):
    with pytest.raises(ConfigError, match=message):
        synth.generate("text_generation", source=rows)


def test_what_a_program_imports_is_there_by_its_name():
    assert set(synth.__all__) <= set(dir(synth))
    assert all(getattr(synth, name) is not None for name in synth.__all__)
    with pytest.raises(ImportError):
        from synth import Pipelines  # noqa: F401


def test_no_module_hides_one_of_the_standard_library_or_is_hidden_by_what_its_package_exports():
    root = Path(synth.__file__).parent
    hidden = [path for path in root.rglob("*") if path.suffix == ".py" and path.stem in sys.stdlib_module_names]
    assert [path.relative_to(root).as_posix() for path in hidden] == [
        "aliases/inspect.py"
    ]  # which is no folder of code
    assert not {path.stem for path in root.iterdir()} & set(synth.__all__)
