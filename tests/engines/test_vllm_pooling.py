"""The pooling engine of vLLM: what it gives beside transformers on the same tokens, alone and in a batch, and what is
said of models that it can't have."""

import asyncio
import json
import os

import numpy as np
import pytest

from benchmarks.real_embedding import real_embedding
from synth.engines import Unusable
from synth.engines.start import start
from synth.engines.vllm_pooling import VLLMPooling
from synth.models.model import DEMO, Model
from synth.quality.embedding import TransformerEmbedding
from synth.quality.reward import SequenceClassifier

pytestmark = [pytest.mark.slow]
TEXTS = ["How do bees make honey?", "In what way do bees make honey?", "What is the capital of France? " * 60]
TEXTS += [f"Write {number} sentences about a harbour in winter." * (1 + number % 9) for number in range(40)]
CONVERSATIONS = [
    [{"role": "user", "content": "Name a bee. " * (1 + n % 7)}, {"role": "assistant", "content": f"Maja {n}."}]
    for n in range(40)
]


def folder_of(path, model, **keys):
    """A model's folder, with the demonstration's tokenizer and these keys in its config.json."""
    from transformers import AutoTokenizer

    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(DEMO).save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | keys))
    return str(path)


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory):
    """The shipped model with a head of random weights in place of words."""
    import torch
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(0)
    model = LlamaForSequenceClassification.from_pretrained(DEMO, num_labels=1, dtype="float32")
    torch.nn.init.normal_(model.score.weight)
    model.config.pad_token_id = 0
    return folder_of(tmp_path_factory.mktemp("reward"), model)


@pytest.fixture(scope="module")
def embedding_folder(tmp_path_factory):
    """A small BERT of random weights, its states to be averaged as sentence-transformers says it."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    size = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vocab = len(AutoTokenizer.from_pretrained(DEMO))
    folder = tmp_path_factory.mktemp("embedding")
    folder_of(folder, BertModel(BertConfig(vocab_size=vocab, max_position_embeddings=128, **size)))
    (folder / "1_Pooling").mkdir()
    modules = [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for n, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    pooling = {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(folder)


async def of(folder, prompts, **keys):
    """What an engine makes of the prompts one by one, and of all at once."""
    engine = VLLMPooling(
        model=Model(path=folder), max_num_seqs=16, max_num_batched_tokens=2048, kv_cache_gib=0.5, **keys
    )
    os.environ |= engine.placement(on_gpu=False, replicas_beside=0).env
    await start(engine)
    try:
        alone = [await engine.pool(prompt) for prompt in prompts[:8]]
        together = await asyncio.gather(*map(engine.pool, prompts))
        with pytest.raises(ValueError, match="vLLM refuses the request"):
            await engine.pool([10**6])
        assert [one.prompt_tokens for one in together] == [len(prompt) for prompt in prompts]
        return [one.values for one in alone], [one.values for one in together]
    finally:
        await engine.stop()


@pytest.mark.vllm
async def test_a_score_is_the_raw_number_that_transformers_gives_alone_and_in_a_batch(reward_folder):
    encode = Model(path=reward_folder).load_pooling_input()
    alone, together = await of(reward_folder, [encode.conversation(one, 2048) for one in CONVERSATIONS])
    by_transformers = SequenceClassifier(path=reward_folder, device="cpu")
    expected = [await by_transformers.score(one) for one in CONVERSATIONS]
    assert all(len(one) == 1 for one in together)
    assert np.allclose(np.concatenate(together), expected, atol=1e-3)
    assert max(map(abs, expected)) > 1  # no sigmoid would tell them apart
    assert np.allclose(np.concatenate(alone), np.concatenate(together[:8]), atol=1e-5)


@pytest.mark.vllm
async def test_an_embedding_is_the_one_of_transformers_alone_and_in_a_batch(embedding_folder):
    encode = Model(path=embedding_folder).load_pooling_input()
    texts = [one[0]["content"] + one[1]["content"] for one in CONVERSATIONS]
    alone, together = await of(embedding_folder, [encode.text(text, 128) for text in texts])
    by_transformers = TransformerEmbedding(path=embedding_folder, max_tokens=128)
    expected = [await by_transformers.embed(text) for text in texts]
    assert together[0].shape == (64,) and together[0].dtype == np.float32
    assert np.allclose(together, expected, atol=1e-5)
    assert np.allclose(alone, together[:8], atol=1e-6)


@pytest.mark.vllm
async def test_a_real_embedding_model_gives_what_it_gives_in_transformers():
    try:
        folder = str(real_embedding())
    except RuntimeError as error:
        pytest.skip(f"the real model can't be had: {error}")
    encode = Model(path=folder).load_pooling_input()
    alone, together = await of(folder, [encode.text(text, 256) for text in TEXTS])
    by_transformers = TransformerEmbedding(path=folder, max_tokens=256)
    expected = [await by_transformers.embed(text) for text in TEXTS]
    assert np.allclose(together, expected, atol=1e-5)
    assert np.allclose(alone, together[:8], atol=1e-6)


@pytest.mark.vllm
async def test_an_architecture_that_vllm_does_not_know_is_named_with_what_loads_it(tmp_path):
    from transformers import MPNetConfig, MPNetModel

    size = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    engine = VLLMPooling(model=Model(path=folder_of(tmp_path, MPNetModel(MPNetConfig(vocab_size=2048, **size)))))
    with pytest.raises(
        Unusable, match=r"^vLLM does not know the architecture of .*, MPNetModel; .* with Transformers$"
    ):
        await start(engine)


def test_what_a_model_gives_is_told_by_its_config(reward_folder, embedding_folder):
    engines = [VLLMPooling(model=Model(path=one)) for one in (reward_folder, embedding_folder)]
    assert [engine.task for engine in engines] == ["score", "embed"]


@pytest.mark.parametrize(
    ("architecture", "stored", "asked", "loaded"),
    [
        ("LlamaForSequenceClassification", "bfloat16", "auto", "auto"),
        ("LlamaForSequenceClassification", "float32", "auto", "float32"),
        ("LlamaForSequenceClassification", None, "auto", "float32"),
        ("Qwen2Model", "bfloat16", "auto", "float32"),
        ("Qwen2Model", "bfloat16", "bfloat16", "bfloat16"),
    ],
)
def test_scores_are_made_as_the_model_is_stored_and_embeddings_in_float32(
    tmp_path, monkeypatch, architecture, stored, asked, loaded
):
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    config = {"architectures": [architecture], "dtype": stored, "id2label": {"0": "LABEL_0"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert VLLMPooling(model=Model(path=str(tmp_path), dtype=asked)).own_arguments()["dtype"] == loaded


@pytest.mark.parametrize("labels", [{"id2label": {"0": "bad", "1": "good"}}, {}])
def test_a_classifier_of_several_outputs_has_no_score_unless_a_label_is_named(tmp_path, labels):
    config = {"architectures": ["BertForSequenceClassification"], **labels}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, *_, last = Model(path=str(tmp_path)), *(labels.get("id2label") or {"1": "LABEL_1"}).values()
    with pytest.raises(ValueError, match=f"has 2 outputs, choose the one for the score: .*, {last}"):
        VLLMPooling(model=model).own_arguments()
    assert VLLMPooling(model=model, label=last).own_arguments()["runner"] == "pooling"
