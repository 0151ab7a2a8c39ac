"""Exports, opened by the programs that they are for, and pushes, taken by a stand-in of the Hub."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import datasets
import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth import export as door
from synth.records import messages_with
from synth.storage import export as exporting
from synth.storage.export import Unexportable, alpaca, export, sharegpt
from synth.storage.hub import dataset_name
from synth.storage.run_folder import RunFolder
from tests.error_lines import check_line
from tests.hub_stand_in import TOKEN, HubStandIn
from tests.storage.rows import run_of


def said(*turns, system=None, **more):
    """A row of a conversation: said("question", "answer", "question", ...)."""
    roles = ["user", "assistant"] * len(turns)
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, "system_prompt": system, **more}


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of 25 rows in three shards, in Unicode and with a column of a step's own."""
    rows = [said(f"Frage {n}?\n\u2028", f"Antwört {n} 🦉", score=n / 2) for n in range(25)]
    return run_of(tmp_path_factory.mktemp("small"), *rows, columns={"score": pa.float64()}, shards=3)


@pytest.fixture
def parquet(small, tmp_path, monkeypatch):
    """That run in three Parquet files."""
    monkeypatch.setattr(exporting, "ROWS_PER_FILE", 10)
    export(small, "parquet", str(tmp_path / "out"))
    return tmp_path / "out"


def test_datasets_loads_the_folder_as_it_is_and_finds_every_row_and_column(small, parquet, tmp_path):
    loaded = datasets.load_dataset(str(parquet), split="train", cache_dir=str(tmp_path / "cache"))
    saved = datasets.load_from_disk(str(small.dataset))
    assert loaded.features == saved.features
    assert loaded.to_list() == saved.to_list()


def test_pandas_reads_every_row(parquet):
    frame = pandas.concat(map(pandas.read_parquet, sorted((parquet / "data").iterdir())))
    assert list(frame["id"]) == [str(n) for n in range(25)]
    assert frame["messages"].iloc[3][1] == {"role": "assistant", "content": "Antwört 3 🦉"}


def test_polars_reads_every_row(parquet):
    frame = polars.read_parquet(parquet / "data/*.parquet")
    assert frame["score"].sum() == sum(n / 2 for n in range(25))
    assert frame["messages"][3].struct.field("content").to_list() == ["Frage 3?\n\u2028", "Antwört 3 🦉"]


def test_duckdb_queries_the_files(parquet):
    query = f"select count(*), max(messages[2].content), sum(usage.completion_tokens) from '{parquet}/data/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(25, "Antwört 9 🦉", 125)]


def test_the_same_rows_give_the_same_files_however_they_were_sharded(small, parquet, tmp_path):
    other = run_of(
        tmp_path / "run",
        *(said(f"Frage {n}?\n\u2028", f"Antwört {n} 🦉", score=n / 2) for n in range(25)),
        columns={"score": pa.float64()},
        shards=7,
    )
    export(other, "parquet", str(tmp_path / "again"))
    for path in (parquet / "data").iterdir():
        assert (tmp_path / "again/data" / path.name).read_bytes() == path.read_bytes()


def test_the_card_tells_how_to_load_what_is_there_and_keeps_what_a_person_wrote(small, tmp_path, monkeypatch):
    written = small.card.read_text()
    small.card.write_text(written + "\nWritten by hand.\n")
    export(small, "parquet", str(tmp_path / "out"), name="me/mine")
    card = (tmp_path / "out/README.md").read_text()
    small.card.write_text(written)
    assert 'load_dataset("me/mine", split="train")' in card
    assert card.endswith("Written by hand.\n")
    assert "load_from_disk" not in card and "config.yaml" not in card


def test_an_empty_dataset_is_a_file_with_its_columns(tmp_path):
    folder = run_of(tmp_path / "run")
    assert export(folder, "parquet", str(tmp_path / "out")).rows == 0
    assert "messages" in pq.read_schema(tmp_path / "out/data/train-00000.parquet").names


def test_sharegpt_has_every_turn_and_the_system_prompt(tmp_path):
    folder = run_of(tmp_path / "run", said("one", "two", "three", "four", system="Be brief."))
    export(folder, "sharegpt", str(tmp_path))
    (row,) = lines(tmp_path / "sharegpt.jsonl")
    assert row == {
        "id": "0",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "one"},
            {"from": "gpt", "value": "two"},
            {"from": "human", "value": "three"},
            {"from": "gpt", "value": "four"},
        ],
    }


def test_alpaca_has_one_exchange_and_the_system_prompt(tmp_path):
    folder = run_of(tmp_path / "run", said("Ask.", "Answer.", system="Be brief."))
    export(folder, "alpaca", str(tmp_path))
    assert lines(tmp_path / "alpaca.jsonl") == [
        {"instruction": "Ask.", "input": "", "output": "Answer.", "system": "Be brief."}
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "thinking"])
def test_thoughts_in_messages_stand_before_the_answer(field):
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So.", field: "Hm"}]
    row = {"id": "0", "messages": turns}
    assert sharegpt(row)["conversations"][1]["value"] == alpaca(row)["output"] == "<think>\nHm\n</think>\n\nSo."
    turns[1][field] = None
    assert sharegpt(row)["conversations"][1]["value"] == alpaca(row)["output"] == "So."


CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
CALLING = [
    {"role": "user", "content": "Add one."},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"},
    {"role": "assistant", "content": "It is 3."},
]


@pytest.fixture(scope="module")
def calling(tmp_path_factory):
    """A run of a row with a tool call and one without, which has no tools either."""
    rows = [{"messages": CALLING, "tools": json.dumps([TOOL])}, said("one", "two") | {"tools": None}]
    columns = {"tools": pa.string(), "messages": messages_with([], tool_calls=True)}
    return run_of(tmp_path_factory.mktemp("calling"), *rows, columns=columns)


def test_datasets_reads_tools_and_arguments_as_objects_and_files_have_them_as_json(calling, tmp_path):
    export(calling, "parquet", str(tmp_path / "out"))
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    for rows in (loaded, datasets.load_from_disk(str(calling.dataset))):
        assert rows[0]["tools"] == [TOOL] and rows[1]["tools"] is None
        assert rows[0]["messages"][1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1}}
    file = tmp_path / "out/data/train-00000.parquet"
    query = (
        f"select json_extract(tools, '$[0].function.name'), messages[2].tool_calls[1].function.arguments from '{file}'"
    )
    assert duckdb.sql(query).fetchall()[0] == ('"add"', '{"a": 1}')
    frame = pandas.read_parquet(file)
    assert json.loads(frame.tools[0]) == [TOOL]
    assert frame.messages[0][1]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


def test_the_card_says_that_there_are_tools(calling, small):
    assert '"function-calling"' in calling.card.read_text() and "`tool_calls`" in calling.card.read_text()
    assert "function-calling" not in small.card.read_text()


def test_sharegpt_has_calls_and_results_as_llama_factory_reads_them(calling, tmp_path):
    export(calling, "sharegpt", str(tmp_path))
    row, plain = lines(tmp_path / "sharegpt.jsonl")
    assert [one["from"] for one in row["conversations"]] == ["human", "function_call", "observation", "gpt"]
    assert json.loads(row["conversations"][1]["value"]) == {"name": "add", "arguments": {"a": 1}}
    assert json.loads(row["tools"]) == [TOOL] and "tools" not in plain


def test_sharegpt_has_several_calls_and_their_results_as_lists():
    result = CALLING[2] | {"content": "4"}
    turns = [CALLING[0], CALLING[1] | {"tool_calls": [CALL, CALL]}, CALLING[2], result, CALLING[3]]
    said = sharegpt({"id": "0", "messages": turns, "tools": None})["conversations"]
    assert len(json.loads(said[1]["value"])) == 2 and json.loads(said[2]["value"]) == ["3", "4"]
    with pytest.raises(exporting.Unfit, match="text beside a tool call"):
        sharegpt({"id": "0", "messages": [CALLING[0], CALLING[1] | {"content": "Wait."}]})


def test_alpaca_leaves_out_rows_with_tools(calling, tmp_path, capsys):
    assert door.main([str(calling.path), "--format", "alpaca", "--output-dir", str(tmp_path / "out")]) == 0
    assert "left out, because alpaca cannot hold them: 1 with tools\n" in capsys.readouterr().err


@pytest.mark.slow
def test_trl_trains_on_an_export_with_tools_and_its_prompts_are_those_of_the_chat_template(calling, tmp_path):
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from synth.demo_model import PATH

    export(calling, "parquet", str(tmp_path / "out"))
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    tokenizer = AutoTokenizer.from_pretrained(PATH)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates/qwen2_5.jinja").read_text()
    keys = {"max_steps": 1, "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no"}
    arguments = trl.SFTConfig(output_dir=str(tmp_path / "run"), disable_tqdm=True, **keys)
    model = AutoModelForCausalLM.from_pretrained(PATH, dtype="float32")
    chosen = rows.select_columns(["messages", "tools"])
    trainer = trl.SFTTrainer(model=model, args=arguments, train_dataset=chosen, processing_class=tokenizer)
    seen = "".join(tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset)
    assert '"name": "add", "description": "Adds."' in seen
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' in seen
    assert math.isfinite(trainer.train().training_loss)


def test_alpaca_takes_a_task_and_its_input_apart_again(tmp_path):
    rows = [
        said("Add.\n\n1 and 2", "3", task="Add.", input="1 and 2"),
        said("Add, in words.", "three", task="Add.", input="1 and 2"),  # rewritten since
    ]
    folder = run_of(tmp_path / "run", *rows, columns={"task": pa.string(), "input": pa.string()})
    export(folder, "alpaca", str(tmp_path))
    found = [(row["instruction"], row["input"]) for row in lines(tmp_path / "alpaca.jsonl")]
    assert found == [("Add.", "1 and 2"), ("Add, in words.", "")]


def test_what_alpaca_can_not_hold_is_left_out_and_counted_in_one_line(tmp_path, capsys):
    rows = [said("one", "two"), said("one", "two", "three", "four"), said("one", "two", "three"), said("one")]
    folder = run_of(tmp_path / "run", *rows)
    assert door.main([str(folder.path), "--format", "alpaca", "--output-dir", str(tmp_path / "out")]) == 0
    output = capsys.readouterr()
    assert output.out == f"1 rows in {tmp_path / 'out'}\n"
    assert output.err.startswith(
        "left out, because alpaca cannot hold them: 2 with several turns, 1 without a response\n"
    )


def test_columns_without_a_place_are_named_in_one_line(small, tmp_path, capsys):
    assert door.main([str(small.path), "--format", "sharegpt", "--output-dir", str(tmp_path)]) == 0
    columns = "strategy, model, seed, lineage, usage, finish_reason, score"
    expected = f"columns left out, because sharegpt cannot hold them: {columns}\n"
    assert capsys.readouterr().err == expected


def test_answers_that_were_cut_are_left_out_where_that_is_wanted(tmp_path, capsys):
    rows = [said("Why?", "Because."), said("How?", "Like this, and", finish_reason="length")]
    folder = run_of(tmp_path / "run", *rows)
    for wanted, count in ([], 2), (["--without-cut"], 1):
        place = tmp_path / str(count)
        assert door.main([str(folder.path), "--format", "alpaca", "--output-dir", str(place), *wanted]) == 0
        assert len(lines(place / "alpaca.jsonl")) == count
    assert "left out: 1 rows whose answers max_tokens cut\n" in capsys.readouterr().err


def test_a_dataset_of_which_nothing_fits_is_refused_and_no_file_is_left(tmp_path, capsys):
    folder = run_of(tmp_path / "run", said("one"))
    assert door.main([str(folder.path), "--format", "alpaca", "--output-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("no row fits the format alpaca: 1 without a response\n")
    assert not (tmp_path / "alpaca.jsonl").exists()


@pytest.mark.parametrize("format", ["sharegpt", "alpaca"])
def test_json_lines_are_read_by_datasets_pandas_and_duckdb(small, tmp_path, format):
    export(small, format, str(tmp_path))
    path = tmp_path / f"{format}.jsonl"
    assert len(datasets.Dataset.from_json(str(path), cache_dir=str(tmp_path / "cache"))) == 25
    assert len(pandas.read_json(path, lines=True)) == 25
    assert duckdb.sql(f"select count(*) from read_json('{path}')").fetchall() == [(25,)]


def test_nothing_that_is_there_is_written_over(small, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(Unexportable, match=r"README.md: exists already"):
        export(small, "parquet", str(tmp_path))
    assert (tmp_path / "README.md").read_text() == "mine"


def test_an_export_that_fails_takes_away_what_it_wrote(small, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "exported", full)  # a fault, after the data files
    with pytest.raises(OSError, match="No space left"):
        export(small, "parquet", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_an_object_store_is_a_place_like_any_other(small):
    import fsspec

    assert door.main([str(small.path), "--output-dir", "memory://bucket/mine"]) == 0
    stored = fsspec.filesystem("memory").find("/bucket/mine")
    assert stored == ["/bucket/mine/README.md", "/bucket/mine/data/train-00000.parquet"]


def test_a_place_that_is_unknown_is_one_line(small, capsys):
    assert door.main([str(small.path), "--output-dir", "nowhere://bucket"]) == 2
    check_line(capsys.readouterr().err, "error: nowhere://bucket", "Protocol not known: nowhere")


def test_what_a_stores_client_says_is_one_line(small, capsys, monkeypatch):
    import fsspec

    def refuse(*_, **__):
        raise Exception("Unable to locate credentials\nlong advice")

    monkeypatch.setattr(fsspec.filesystem("memory"), "exists", refuse)
    assert door.main([str(small.path), "--output-dir", "memory://bucket/other"]) == 2
    check_line(capsys.readouterr().err, "error: memory://bucket/other", "Unable to locate credentials")


def test_a_store_whose_package_is_not_installed_is_told_with_its_name(small, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert door.main([str(small.path), "--output-dir", "s3://bucket/mine"]) == 2
    check_line(capsys.readouterr().err, "error: s3://bucket/mine", "s3fs")


def test_a_run_without_a_dataset_is_told_how_to_come_by_one(small, tmp_path, capsys):
    folder = RunFolder(tmp_path)
    folder.manifest.write_bytes(small.manifest.read_bytes())
    assert door.main([str(tmp_path), "--output-dir", str(tmp_path / "out")]) == 2
    assert f"run python -m synth.merge {tmp_path} to merge" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["parquet", "sharegpt"])
def test_memory_stays_flat_whatever_the_size(tmp_path, format):
    """200 MB of rows, in a process that may have 150 MB more of its own than it had before."""
    row = [{"role": "user", "content": "word " * 400}, {"role": "assistant", "content": "answer " * 300}]
    rows = datasets.Dataset.from_list([{"id": "0", "messages": row}] * 1000)
    datasets.concatenate_datasets([rows] * 50).save_to_disk(str(tmp_path / "dataset"))
    script = f"""
import pathlib, re, resource, datasets, pyarrow.parquet
from synth.storage.export import export
from synth.storage.run_folder import RunFolder
datasets.load_from_disk({str(tmp_path / "dataset")!r})[:1]
own = int(re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + 150_000_000, -1))
print(export(RunFolder(pathlib.Path({str(tmp_path)!r})), {format!r}, {str(tmp_path / "out")!r}).rows)
"""
    env = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1"}  # stacks count too
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout == "50000\n", done.stderr


# Pushes


@pytest.mark.parametrize("name", ["mine", "a/b/c", "me/--mine", "me/mi ne", ""])
def test_names_that_the_hub_does_not_have_are_refused(name):
    with pytest.raises(ValueError, match="must be user/name"):
        dataset_name(name)


@pytest.fixture
def hub():
    with HubStandIn({}) as hub:
        yield hub


def pushing(hub, folder, home, *, token=TOKEN, offline="0"):
    """The command, in files of ten rows, as a process of its own: the client looks for its Hub when imported."""
    script = """
import sys
from synth import export
from synth.records import messages_with
from synth.storage import export as exporting
exporting.ROWS_PER_FILE = 10
sys.exit(export.main(sys.argv[1:]))
"""
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": offline}
    env |= {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": token}
    command = [sys.executable, "-c", script, str(folder.path), "--push-to-hub", "me/mine"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pushed(*arguments, **keys):
    process = pushing(*arguments, **keys)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def loaded(hub, home):
    """The rows of me/mine as whoever loads it from the Hub gets them."""
    script = """
import datasets, json
print(json.dumps(datasets.load_dataset("me/mine", split="train").to_list()))
"""
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_push_makes_a_private_dataset_that_loads_from_the_hub(hub, small, tmp_path):
    code, out, err = pushed(hub, small, tmp_path)
    assert (code, out) == (0, f"pushed to {hub.url}/datasets/me/mine\n"), err
    assert hub.private == {"me/mine"}
    assert 'load_dataset("me/mine", split="train")' in hub.repositories["me/mine"]["README.md"].decode()
    assert loaded(hub, tmp_path / "other") == datasets.load_from_disk(str(small.dataset)).to_list()


@pytest.mark.slow
def test_a_push_that_is_killed_halfway_goes_on_from_there(hub, small, tmp_path):
    before = sorted({*small.path.iterdir(), small.path / ".lock"})
    process = pushing(hub, small, tmp_path)
    hub.halfway = process.kill
    process.communicate(timeout=600)
    assert process.returncode == -9
    hub.halfway = None
    first = list(hub.uploads)
    assert first and "data/train-00000.parquet" not in hub.repositories["me/mine"]

    code, _, err = pushed(hub, small, tmp_path)
    assert code == 0, err
    assert len(set(hub.uploads)) == len(hub.uploads) == 3, "a file was sent twice"
    assert loaded(hub, tmp_path / "other") == datasets.load_from_disk(str(small.dataset)).to_list()
    assert sorted(small.path.iterdir()) == before


@pytest.mark.slow
def test_a_push_that_fails_loses_nothing_and_says_how_to_repeat_it(hub, small, tmp_path):
    hub.full = True
    code, out, err = pushed(hub, small, tmp_path)
    assert (code, out) == (1, "")
    result = err.splitlines()[-1]
    assert result.startswith("failed: the push to me/mine: ") and "storage limit reached" in result
    assert result.endswith(
        f"nothing is lost, run python -m synth.export {small.path} --push-to-hub me/mine to continue"
    )
    assert TOKEN not in err
    assert not (small.path / ".push").exists()


@pytest.mark.slow
def test_files_that_are_there_are_not_sent_again_and_those_of_a_longer_dataset_go(hub, small, tmp_path):
    assert pushed(hub, small, tmp_path)[0] == 0
    shorter = run_of(
        tmp_path / "shorter",
        *(said(f"Frage {n}?\n\u2028", f"Antwört {n} 🦉", score=n / 2) for n in range(10)),
        columns={"score": pa.float64()},
    )
    assert pushed(hub, shorter, tmp_path)[0] == 0
    assert len(hub.uploads) == 3
    assert sorted(hub.repositories["me/mine"]) == ["README.md", "data/train-00000.parquet"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"token": ""}, "no token for the Hub was found; set HF_TOKEN or run hf auth login"),
        ({"token": "hf_of_somebody"}, "the Hub refuses 'me/mine': Invalid user token."),
        ({"offline": "1"}, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it to reach the Hub"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_before_anything_is_sent(hub, small, tmp_path, keys, why):
    code, _, err = pushed(hub, small, tmp_path, **keys)
    assert (code, err) == (2, f"error: --push-to-hub me/mine: {why}\n")
    assert not hub.repositories


@pytest.mark.slow
def test_a_run_pushes_what_it_made_and_writes_the_token_nowhere(hub, tmp_path):
    command = [sys.executable, "-m", "synth.run", "+strategy=magpie", "engine=simulated", "num_records=20"]
    command += ["engine.tokens_per_second=2000", f"output_dir={tmp_path / 'run'}", "push_to_hub=me/mine"]
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    env |= {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub.url}/datasets/me/mine" in done.stderr
    assert pq.read_table(pa.BufferReader(hub.repositories["me/mine"]["data/train-00000.parquet"])).num_rows == 20
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path
