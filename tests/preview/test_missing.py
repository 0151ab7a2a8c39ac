"""Models that are not whole on this machine: one line and exit code 2, before anything is started."""

import json
import shutil
import struct

import pytest

from synth.demo_model import PATH as DEMO
from synth.models.files import missing_weights
from synth.run import main


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model."""
    return shutil.copytree(DEMO, tmp_path / "model")


def safetensors(path, sizes=(8,), cut=0):
    """A file with so many bytes in each tensor, the last `cut` of them not there."""
    ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    tensors = {
        f"t{place}": {"dtype": "U8", "shape": [size], "data_offsets": [end - size, end]}
        for place, (size, end) in enumerate(zip(sizes, ends, strict=True))
    }
    header = json.dumps(tensors | {"__metadata__": {"format": "pt"}}).encode()
    path.write_bytes((struct.pack("<Q", len(header)) + header + bytes(sum(sizes)))[: -cut or None])


def index(folder, suffix, shards):
    weights = {f"layer.{place}": shard for place, shard in enumerate(shards)}
    (folder / f"model{suffix}.index.json").write_text(json.dumps({"weight_map": weights}))


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def a_pointer(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")


def cut_off(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])


def empty(folder):
    (folder / "model.safetensors").write_bytes(b"")


def a_shard_short(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index(folder, ".safetensors", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"])


DAMAGE = {
    no_weights: "has no weights",
    a_pointer: "model.safetensors is a git LFS pointer, not the weights; run git lfs pull",
    cut_off: "model.safetensors is truncated: ",
    empty: "model.safetensors is truncated, or not a safetensors file, at 0 bytes",
    a_shard_short: "model-00002-of-00002.safetensors is missing",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_weights_that_are_not_whole_are_told_by_their_file(folder, damage):
    assert missing_weights(folder) is None
    damage(folder)
    assert DAMAGE[damage] in missing_weights(folder)


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_model_folder_without_weights_is_refused_and_by_the_plan_too(folder, tmp_path, capsys, engine):
    no_weights(folder)
    words = ["+strategy=magpie", f"model.path={folder}", f"engine={engine}", f"output_dir={tmp_path / 'run'}"]
    for more in (["dry_run=true"], []):
        assert main([*words, *more]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: model.path: ") and "has no weights" in line
    assert not (tmp_path / "run").exists()


def of_kind(folder, architecture, **keys):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [architecture], **keys}))
    return folder


@pytest.mark.parametrize("architecture", ["MPNetModel", "BertForMaskedLM", "LlamaForSequenceClassification"])
@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_a_model_that_generates_nothing_is_refused_and_by_the_plan_too(folder, capsys, engine, architecture):
    of_kind(folder, architecture)
    for more in (["dry_run=true"], []):
        assert main(["+strategy=magpie", f"model.path={folder}", f"engine={engine}", "output_dir=run", *more]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: model.path: '{folder}' is a {architecture}, which cannot generate text")


def test_a_judge_that_generates_nothing_is_refused_by_its_own_key(folder, capsys):
    words = ["+strategy=preference", f"models.judge.path={of_kind(folder, 'BertModel')}", "dry_run=true"]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: models.judge.path: '{folder}' is a BertModel, which")


def test_a_model_without_a_chat_template_that_generates_nothing_is_not_asked_for_one(folder, capsys):
    of_kind(folder, "BertModel")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    assert main(["+strategy=magpie", f"model.path={folder}", "output_dir=run"]) == 2
    assert "which cannot generate text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["models.reward.engine=vllm_pooling", "models.reward.path={}", "strategy.reward.model=reward"],
         "models.reward.engine.label"),
        (["strategy.reward.model={}"], "strategy.reward.model.label"),
    ],
)  # fmt: skip
def test_a_reward_model_with_several_outputs_is_refused_until_its_label_is_named(folder, capsys, words, key):
    of_kind(folder, "LlamaForSequenceClassification", id2label={"0": "bad", "1": "good"})
    reward = "+strategy.reward={_target_: synth.quality.reward.Reward, model: x}"
    words = ["+strategy=magpie", reward, "strategy.steps=[magpie,reward]", *(word.format(folder) for word in words)]
    words += ["engine=simulated", "dry_run=true"]
    assert main(words) == 2
    expected = "is missing: the classifier has 2 outputs, choose the one for the score: bad, good"
    assert capsys.readouterr().err == f"error: {key}: {expected}\n"
    if key.startswith("models."):
        assert main([*words, f"{key}=good"]) == 0


def test_an_engine_that_loads_no_weights_needs_none(folder, tmp_path):
    no_weights(folder)
    words = ["+strategy=magpie", f"model.path={folder}", f"output_dir={tmp_path / 'run'}", "dry_run=true"]
    assert main([*words, "engine=simulated"]) == 0
    assert main([*words, "+engine.extra={load_format: dummy}"]) == 0


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_that_are_all_there_are_whole_and_other_files_do_not_count(tmp_path, suffix):
    assert "has no weights" in missing_weights(tmp_path)
    (tmp_path / "training_args.bin").write_bytes(b"\0" * 9)
    assert "has no weights" in missing_weights(tmp_path)
    for shard in ("a", "b"):
        safetensors(tmp_path / f"{shard}{suffix}", (8, 16))
    index(tmp_path, suffix, [f"a{suffix}", f"b{suffix}", f"a{suffix}"])
    assert missing_weights(tmp_path) is None
    (tmp_path / f"b{suffix}").unlink()
    assert f"b{suffix} is missing" in missing_weights(tmp_path)


def test_one_whole_set_is_enough(tmp_path):
    safetensors(tmp_path / "model.safetensors", cut=1)
    assert "is truncated" in missing_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\0" * 9)
    assert missing_weights(tmp_path) is None


def test_an_index_that_is_none_is_said_to_be_none(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert "model.safetensors.index.json is not an index of weights" in missing_weights(tmp_path)


def test_a_model_of_a_filter_that_is_not_there_is_refused_with_its_key(tmp_path, capsys):
    words = ["+strategy=magpie_filtered_air", "engine=simulated", f"output_dir={tmp_path / 'run'}", "dry_run=true"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    for given, told in (
        (["strategy.reward.model=./nowhere"], "strategy.reward.model.path: there is no folder './nowhere'"),
        ([f"strategy.repeated.model={broken}"], "strategy.repeated.model.path: the folder"),
    ):
        assert main([*words, *given]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert told in line


def test_a_tokenizer_of_a_filter_that_can_not_be_loaded_is_refused_with_its_key(tmp_path, capsys):
    (tmp_path / "tokenizer.json").write_text("{")
    length = f"{{_target_: synth.quality.length.Length, unit: tokens, max: 9, tokenizer: '{tmp_path}'}}"
    words = ["+strategy=magpie", "engine=simulated", "dry_run=true", f"+strategy.short={length}"]
    words += ["strategy.steps=[${strategy.magpie},${strategy.short}]", f"output_dir={tmp_path / 'run'}"]
    assert main(words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: strategy.short.tokenizer: the tokenizer of ")
