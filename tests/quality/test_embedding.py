"""Embeddings by a small transformer of random weights."""

import asyncio

import numpy as np
import pytest

from synth.engines import EngineError
from synth.quality.embedding import TransformerEmbedding


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    from synth.models.model import DEMO

    folder = tmp_path_factory.mktemp("embedding")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


async def test_a_text_has_the_same_embedding_whatever_else_is_asked_for(model):
    embedding = TransformerEmbedding(path=model)
    alone = await embedding.embed("Name a bee.")
    assert alone.shape == (16,) and alone.dtype == np.float32
    beside = await asyncio.gather(*(embedding.embed(text) for text in ["a", "Name a bee.", "Explain photosynthesis."]))
    assert np.array_equal(beside[1], alone)
    assert not np.allclose(beside[0], alone)


async def test_the_first_tokens_state_is_another_embedding(model):
    mean, first = (TransformerEmbedding(path=model, pooling=pooling) for pooling in ("mean", "first"))
    assert not np.allclose(await mean.embed("Name a bee."), await first.embed("Name a bee."))


async def test_a_long_text_is_cut(model):
    embedding = TransformerEmbedding(path=model, max_tokens=8)
    start = "one two three four five six seven eight nine ten"
    assert np.array_equal(await embedding.embed(start), await embedding.embed(start + " eleven" * 1000))


async def test_a_model_that_can_not_be_loaded_is_no_records_fault(tmp_path):
    with pytest.raises(EngineError, match=r"the embedding model .* can't be loaded"):
        await TransformerEmbedding(path=str(tmp_path)).embed("a")
