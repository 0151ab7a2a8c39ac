"""Which run a folder holds: every key of the configuration is one that decides the data or one that doesn't."""

import dataclasses
import subprocess
import sys

import pytest
from datasets import load_from_disk

from synth import merge
from synth.configuration.config_groups import options
from synth.configuration.parsing import parse
from synth.errors import ConfigError
from synth.records import Shard
from synth.resumption import identity
from synth.resumption.identity import by_content
from synth.resumption.resume import manifest_of, plan_of
from synth.run import main
from synth.sources.store import Contents
from synth.storage.dedup_keys import write_dedup_keys
from synth.storage.journal import Journal
from synth.storage.run_folder import RunFolder
from synth.storage.sealed import read_sealed, write_sealed
from synth.storage.shard import commit
from tests.configuration.test_config import composed
from tests.error_lines import check_line
from tests.storage.rows import finished

SOURCES = {
    "file": ["source.path=seeds.jsonl"],
    "documents": ["source.path=manuals"],
    "hub": ["source.name=organization/dataset"],
    "none": [],
}

# Every key but those of a strategy, all of which decide the data. A new key has to be put here.
DATA = """
    seed
    model.path model.name model.tokenizer model.revision model.dtype model.max_model_len model.chat_template
    model.template_kwargs model.default_system_prompt model.pre_query model.later_pre_query model.query_stop
    model.reasoning model.reasoning_tags
    openai._target_ openai.served_model openai.dialect
    openai_chat._target_ openai_chat.served_model openai_chat.dialect openai_chat.omit openai_chat.extra
    simulated._target_ simulated.median_tokens simulated.sigma simulated.max_model_len
    transformers._target_ transformers.device
    vllm._target_ vllm.tensor_parallel_size vllm.pipeline_parallel_size vllm.kv_cache_dtype vllm.enforce_eager
    vllm.extra
""".split()
RUNTIME_ONLY = """
    num_records output_dir slice shard_size resume retry min_yield push_to_hub price_per_gpu_hour tracking dry_run
    publish
    estimate_from step_timeout_s checkpoint_calls continue_answers reuse
    cluster.address cluster.replicas cluster.records_in_flight cluster.start_timeout_s cluster.metrics_port cluster.gpu
    cluster.claim_processes
    model.license
    openai.base_url openai.api_key_env openai.max_num_seqs openai.timeout_s openai.max_retries
    openai.price_per_million_tokens
    openai_chat.base_url openai_chat.api_key_env openai_chat.max_num_seqs openai_chat.timeout_s openai_chat.max_retries
    openai_chat.price_per_million_tokens
    simulated.max_num_seqs simulated.tokens_per_second simulated.first_token_s
    transformers.max_num_seqs transformers.threads
    vllm.max_num_seqs vllm.max_num_batched_tokens vllm.gpu_memory_utilization vllm.kv_cache_gib
    vllm.enable_prefix_caching vllm.cpu_threads vllm.log_level
""".split()
COUNTED = ["strata"]  # by the rows of each, in configuration/test_strata.py
# A source counts by the rows that it gives (synth/sources/store.py).
OF_THE_SOURCE = """
    source._target_ source.path source.name source.subset source.split source.revision source.streaming source.format
    source.columns source.limit source.repeat source.bad_rows source.delimiter source.quote source.escape
    source.size source.overlap source.related source.encoding source.tokenizer
""".split()


def keys(data):
    """The keys of a configuration, an engine's with its name in front."""
    for key, value in data.items():
        if key in ("model", "engine", "cluster", "source"):
            group = data["engine"]["_target_"].split(".")[2] if key == "engine" else key
            yield from (f"{group}.{name}" for name in value)
        elif key != "strategy":
            yield key


def leaves(node, key):
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in children:
        yield from leaves(value, f"{key}.{name}")
    if not children:
        yield key


def with_other(config, key):
    """The configuration with another value at a dotted key."""

    def other(node, path):
        if not path:
            return "other"
        if isinstance(node, list):
            return [other(value, path[1:]) if str(place) == path[0] else value for place, value in enumerate(node)]
        return node | {path[0]: other(node[path[0]], path[1:])}

    return dataclasses.replace(config, resolved=other(config.resolved, key.split(".")))


GENERATING = [name for name in options("engine") if name != "vllm_pooling"]  # which is no engine of main's


@pytest.mark.parametrize("engine", GENERATING)
def test_each_key_decides_the_data_or_does_not(engine):
    config = parse(composed(f"engine={engine}", strategy="self_instruct", model="demo"))
    for key in set(keys(config.resolved)) - {"models", *COUNTED}:
        decides = with_other(config, key.replace(f"{engine}.", "engine.")).identity() != config.identity()
        assert decides == (key in DATA), key


@pytest.mark.parametrize("strategy", options("strategy"))
def test_every_key_of_a_strategy_decides_the_data(strategy):
    config = parse(composed(strategy=strategy, model="demo"))
    for key in leaves(config.resolved["strategy"], "strategy"):
        assert with_other(config, key).identity() != config.identity(), key


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("engine", GENERATING)
def test_every_key_is_known_for_what_it_is(engine, source):
    words = [f"engine={engine}", f"source={source}", *SOURCES[source]]
    data = parse(composed(*words, strategy="self_instruct", model="demo")).resolved
    assert data.pop("models") == {}  # what becomes of their keys is in test_models.py
    assert set(keys(data)) <= {*DATA, *RUNTIME_ONLY, *COUNTED, *OF_THE_SOURCE}
    assert not {*DATA} & {*RUNTIME_ONLY}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.make()
    return folder


def begin(folder, *overrides, **chosen):
    """The manifest that a run with these overrides goes on with, written down."""
    config = parse(composed(*overrides, **({"model": "demo"} | chosen)))
    manifest = manifest_of(folder, config, Contents(columns=["instruction"]))
    manifest.write(folder)
    return manifest


def refusal(folder, *overrides, **chosen):
    with pytest.raises(ConfigError) as caught:
        begin(folder, *overrides, **chosen)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"output_dir: {folder.manifest} is of another run: ")


def commit_shards(folder, manifest, *sizes, claimed=False):
    start = 0
    for index, size in enumerate(sizes):
        shard = Shard(index, start, start := start + size)
        manifest.shards.append(shard)
        journal = Journal.open(folder.journal(index), {})
        for number in range(shard.start, shard.stop):
            journal.append(finished(number))
        if claimed:
            write_dedup_keys(folder, shard, manifest.fingerprint, [], [])
        manifest.committed[index] = commit(folder, shard, journal, {}, manifest.fingerprint)
    manifest.write(folder)


def test_a_changed_configuration_is_refused_with_all_its_keys(folder):
    begin(folder)
    error = refusal(folder, "seed=5", "model.dtype=float16", "strategy.magpie.n_turns=2")
    assert error == (
        "model.dtype was float32, is float16, seed was 0, is 5, strategy.magpie.n_turns was 1, is 2; "
        "choose another output_dir"
    )


def test_force_goes_on_with_a_changed_configuration(folder):
    commit_shards(folder, begin(folder), 3)
    forced = begin(folder, "seed=5", "resume=force")
    assert forced.identity["seed"] == 5
    assert list(forced.committed) == [0]
    assert begin(folder, "seed=5").fingerprint == forced.fingerprint


def test_no_force_makes_rows_of_other_columns_one_dataset(folder):
    begin(folder)
    error = refusal(folder, "model.reasoning=keep", "resume=force")
    assert "reasoning was None, is string" in error and error.endswith("; choose another output_dir")


def test_a_run_goes_on_with_more_records_on_another_cluster_in_other_shards(folder):
    commit_shards(folder, begin(folder, "num_records=10"), 3, 4, 3)
    overrides = ["num_records=30", "shard_size=5", "cluster.replicas=3", "engine.max_num_seqs=7"]
    manifest = begin(folder, *overrides)
    config = parse(composed(*overrides, model="demo"))
    plan = plan_of(config, Contents(), manifest, replicas=3)
    assert (plan.kept, plan.done) == (10, False)
    plan.next()
    assert [(shard.start, shard.stop) for shard in plan.shards[:5]] == [(0, 3), (3, 7), (7, 10), (10, 13), (13, 16)]


def test_fewer_records_than_are_there_are_enough(folder):
    commit_shards(folder, begin(folder, "num_records=10"), 10)
    manifest = begin(folder, "num_records=4")
    assert plan_of(parse(composed("num_records=4", model="demo")), Contents(), manifest, replicas=1).done
    assert manifest.num_records == 4


def test_a_corrected_licence_is_no_other_run(folder):
    begin(folder)
    assert begin(folder, "model.license=mit").license == "mit"


def test_a_damaged_shard_is_said_in_one_line_and_made_again(folder):
    commit_shards(folder, begin(folder), 3, 3, 3)
    path = folder.shard(1)
    data = bytearray(path.read_bytes())
    data[-300] ^= 1
    path.write_bytes(data)
    words = [sys.executable, "-m", "synth.run", "+strategy=magpie", f"output_dir={folder.path}", "dry_run=true"]
    result = subprocess.run(words, capture_output=True, text=True)
    check_line(result.stderr, str(path), "damaged", "run again")
    assert "6 records kept so far" in result.stdout
    assert list(begin(folder).committed) == [0, 2]


def test_the_plan_of_a_stopped_run_tells_what_is_finished_and_what_is_left(folder, capsys):
    manifest = begin(folder)
    commit_shards(folder, manifest, 3)
    journal = Journal.open(folder.journal(1), {}, f"{manifest.fingerprint} 3 6")
    manifest.shards.append(Shard(1, 3, 6))
    manifest.write(folder)
    journal.append(finished(3))
    journal.close()
    assert main(["+strategy=magpie", f"output_dir={folder.path}", "dry_run=true"]) == 0
    output = capsys.readouterr().out
    assert "3 records kept so far, 1 more finished in journals" in output
    assert "at most 2 per record, 192 left if none is rejected" in output


def test_a_shard_whose_claims_are_lost_or_damaged_is_made_again(folder, caplog):
    commit_shards(folder, begin(folder, strategy="magpie_filtered"), 3, 3, 3, 3, claimed=True)
    assert list(begin(folder, strategy="magpie_filtered").committed) == [0, 1, 2, 3]
    folder.claims(1).unlink()
    folder.claims(2).write_bytes(folder.claims(2).read_bytes()[:-40])
    assert list(begin(folder, strategy="magpie_filtered").committed) == [0, 3]
    assert f"{folder.claims(1)} is lost or damaged: its records are run again" in caplog.text


def test_no_force_mixes_claims_of_two_configurations(folder):
    begin(folder, strategy="magpie_filtered")
    error = refusal(folder, "seed=5", "resume=force", strategy="magpie_filtered")
    check_line(error, "seed", "0", "5", "output_dir")


def test_a_manifest_of_a_newer_version_is_refused(folder):
    begin(folder)
    write_sealed(folder.manifest, read_sealed(folder.manifest) | {"version": 4})
    check_line(refusal(folder), str(folder.manifest), "version 4", "3")


JUDGED = "strategy.judge.prompt"


@pytest.fixture
def prompt(tmp_path):
    path = tmp_path / "rubric.jinja"
    path.write_text("Score {{ response }}.")
    return path


def judged(path):
    return {"strategy": "evol_instruct_judged"}, f"+{JUDGED}={path}"


def test_a_file_that_a_step_reads_is_refused_by_name_when_it_has_changed(folder, prompt):
    chosen, override = judged(prompt)
    before = begin(folder, override, **chosen)
    assert begin(folder, override, **chosen).fingerprint == before.fingerprint
    prompt.write_text("Grade {{ response }}.")
    error = refusal(folder, override, **chosen)
    assert error.startswith(f"{JUDGED} was rubric.jinja (") and ", is rubric.jinja (" in error
    assert begin(folder, override, "resume=force", **chosen).fingerprint != before.fingerprint


@pytest.mark.parametrize("given", ["~/rubric.jinja", "rubric.jinja", "@rubric.jinja"])
def test_a_prompt_from_a_file_counts_by_its_text_however_the_file_is_named(folder, prompt, given, monkeypatch):
    monkeypatch.setenv("HOME", str(prompt.parent))
    monkeypatch.chdir(prompt.parent)
    override = f"+{JUDGED}='{given}'"
    before = begin(folder, override, strategy="evol_instruct_judged")
    prompt.touch()
    assert begin(folder, override, strategy="evol_instruct_judged").fingerprint == before.fingerprint
    prompt.write_text("Grade {{ response }}.")
    assert refusal(folder, override, strategy="evol_instruct_judged").startswith(f"{JUDGED} was ")


def test_a_file_may_move(folder, prompt, tmp_path):
    chosen, override = judged(prompt)
    before = begin(folder, override, **chosen)
    (tmp_path / "other").mkdir()
    prompt.rename(tmp_path / "other" / prompt.name)
    assert begin(folder, f"+{JUDGED}={tmp_path}/other/rubric.jinja", **chosen).fingerprint == before.fingerprint


def test_files_count_wherever_the_configuration_names_them(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\xff\0")
    path = str(tmp_path / "a.bin")
    node = {"_target_": path, "name": path, "weights": [path, None, 3], "text": f"{path}\n", "folder": "/tmp"}
    named = by_content(node)["weights"][0]
    assert named.startswith("a.bin (")
    assert by_content(node) == node | {"weights": [named, None, 3]}


def test_a_models_folder_and_a_pattern_count_by_what_is_in_their_files(tmp_path):
    model = tmp_path / "reward"
    model.mkdir()
    seen = set()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (model / name).write_text(name)
        seen.add((by_content(str(model)), by_content(f"{model}/*.json")))
    (model / "model.safetensors").write_text("trained again")
    seen.add((by_content(str(model)), by_content(f"{model}/*.json")))
    assert len({folder for folder, _ in seen}) == 4 and len({pattern for _, pattern in seen}) == 2
    (model / ".lock").touch()
    assert by_content(str(model)) in {folder for folder, _ in seen}


def test_a_very_large_file_counts_by_its_size_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "LARGE", 2**21)
    path = tmp_path / "model.gguf"
    seen = set()
    for place in (None, 0, 3 * 2**20 - 1, 3 * 2**20):
        data = bytearray(3 * 2**20 + (place == 3 * 2**20))
        if place is not None:
            data[place] = 1
        path.write_bytes(data)
        seen.add(by_content(str(path)))
    assert len(seen) == 4


@pytest.mark.parametrize(
    "text", ["magpie", "a/b", "[/*", "**/?.x*", "x" * 5000 + ".txt", "nul\0.txt", "/", ".", "synth.steps"]
)
def test_what_names_no_file_is_what_it_is(text):
    assert by_content(text) == text


def test_damaged_and_lost_shards_are_made_as_they_were_on_another_cluster_in_other_shards(tmp_path, capsys, caplog):
    def run(*overrides):
        fast = ["engine=simulated", "engine.tokens_per_second=5000", "engine.median_tokens=20"]
        assert main(["+strategy=magpie", *fast, "num_records=120", f"output_dir={tmp_path}/run", *overrides]) == 0
        return load_from_disk(tmp_path / "run" / "dataset").to_list()

    folder = RunFolder(tmp_path / "run")
    before = run("shard_size=17")
    folder.shard(2).unlink()
    damaged = bytearray(folder.shard(1).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    folder.shard(1).write_bytes(damaged)
    capsys.readouterr()
    assert merge.main([str(folder.path)]) == 2
    check_line(capsys.readouterr().err, f"error: {folder.shard(1)}", "damaged", "run the same command again")
    assert run("shard_size=40", "cluster.replicas=2") == before
    assert f"{folder.shard(1)} is damaged: its records are run again" in caplog.text
