"""The weights that are shipped: what they are, how they are stored, and that their script still makes the like."""

import json
import struct
import subprocess
import sys
from math import prod
from random import Random

import pytest
import torch
from transformers import AutoTokenizer

from synth.demo_model import PATH, train
from synth.demo_model.grammar import topic

CHATML = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(PATH)


def header(folder):
    """What a safetensors file says of its tensors: name → {dtype, shape}."""
    with (folder / "model.safetensors").open("rb") as file:
        result = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {name: tensor for name, tensor in result.items() if name != "__metadata__"}


def test_it_is_a_llama_of_two_to_five_million_parameters():
    assert json.loads((PATH / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert 2e6 <= sum(prod(tensor["shape"]) for tensor in header(PATH).values()) <= 5e6


def test_it_takes_less_than_8_megabytes_and_holds_no_pickle():
    files = [path for path in PATH.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja"}


def test_its_template_is_chatml(tokenizer):
    messages = [{"role": "user", "content": "Hello"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == CHATML


def test_its_answers_end_with_the_end_of_a_turn(tokenizer):
    result = json.loads((PATH / "generation_config.json").read_text())
    assert result["eos_token_id"] == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize("text", ["Hello  world\n\n", "12345 + 67", "日本語 🙂 naïve", "\t<b>&amp;</b>\x00"])
def test_every_text_comes_back_from_its_tokens(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_lengths_have_a_long_tail_from_5_to_250_tokens(tokenizer):
    rng = Random(0)
    lengths = []
    for _ in range(2000):
        drawn = topic(rng)
        lengths += [len(tokenizer.encode(text)) for text in (drawn.question, drawn.answer)]
    lengths.sort()
    assert lengths[len(lengths) // 100] <= 5
    assert lengths[len(lengths) // 2] < 50
    assert 150 < lengths[-len(lengths) // 200] < 400


def trained(tokenizer):
    """The weights after one step of training from nothing, with the script's own seed."""
    torch.manual_seed(0)
    model = train.new_model(tokenizer)
    train.train(model, train.rows(Random("text"), tokenizer), steps=1)
    return model.state_dict()


@pytest.mark.slow
def test_training_twice_gives_the_same_weights(tokenizer):
    one, other = trained(tokenizer), trained(tokenizer)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_the_script_makes_a_model_of_the_shipped_form_and_the_shipped_tokenizer(tmp_path):
    command = [sys.executable, "-m", "synth.demo_model.train", "--steps", "1", "--output-dir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert header(tmp_path) == header(PATH)
    # Which follows the prompts' wording: where this fails, the model was trained on others than today's.
    assert (tmp_path / "tokenizer.json").read_bytes() == (PATH / "tokenizer.json").read_bytes()
