"""Scores of a reward model, one's own or a small one of transformers."""

import pytest

from synth.components.instantiate import build
from synth.engines import EngineError
from synth.errors import ConfigError
from synth.quality.reward import Reward, SequenceClassifier
from synth.records import Rejection
from synth.steps.function import StepFunction

RECORD = {"instruction": "Name a bee.", "response": "Maja", "system_prompt": "Be brief."}


class Counted:
    """As many points as there are letters in the last message, and the roles that it has seen."""

    def score(self, messages):
        self.roles = [turn["role"] for turn in messages]
        return len(messages[-1]["content"])


class Later(Counted):
    async def score(self, messages):
        return super().score(messages)


class Constant:
    def __init__(self, value):
        self.value = value

    def score(self, messages):
        return self.value


@pytest.mark.parametrize("model", [Counted, Later])
async def test_the_whole_conversation_is_scored(model):
    step = Reward(model=model())
    assert (await step(dict(RECORD), None))["reward"] == 4.0
    assert step.model.roles == ["system", "user", "assistant"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
async def test_no_finite_score_is_a_rejection(value):
    with pytest.raises(Rejection, match="no_score"):
        await Reward(model=Constant(value))(dict(RECORD), None)


@pytest.mark.parametrize(
    "record",
    [
        {},
        RECORD | {"response": None},
        {"messages": [{"role": "user", "content": "a"}]},
        {"messages": [{"role": "assistant", "content": " "}]},
    ],
)
async def test_without_a_response_there_is_nothing_to_score(record):
    with pytest.raises(Rejection, match="no_response"):
        await Reward(model=Counted())(record, None)


def test_a_text_is_the_path_of_a_sequence_classifier():
    assert Reward(model="my/rewards").model == SequenceClassifier(path="my/rewards")


def test_what_scores_nothing_is_refused():
    node = {"_target_": "synth.quality.reward.Reward", "model": {"_target_": "synth.models.model.Model"}}
    with pytest.raises(ConfigError, match=r"model.Model' is not a valid reward model: it has no score\(messages\)"):
        build(node, "strategy.reward", StepFunction)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A model of random weights with the demonstration's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    from synth.models.model import DEMO

    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=0, **size)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


async def test_a_sequence_classifier_scores_by_its_single_output(classifier):
    model = SequenceClassifier(path=classifier)
    conversation = [{"role": "user", "content": "Name a bee."}, {"role": "assistant", "content": "Maja"}]
    first = await model.score(conversation)
    assert first == await model.score(conversation)
    assert first != await model.score([*conversation[:1], {"role": "assistant", "content": "Willi"}])


async def test_a_classifier_with_several_outputs_scores_by_the_log_odds_of_its_label(tmp_path):
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    from synth.models.model import DEMO

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    labels = {0: "bad", 1: "fair", 2: "good"}
    config = LlamaConfig(vocab_size=len(tokenizer), id2label=labels, pad_token_id=0, **size)
    torch.manual_seed(0)
    classifier = LlamaForSequenceClassification(config)
    classifier.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    conversation = [{"role": "user", "content": "Name a bee."}, {"role": "assistant", "content": "Maja"}]
    ids = tokenizer.apply_chat_template(conversation, tokenize=True, return_dict=False)
    shares = classifier.eval()(torch.tensor([ids])).logits[0].softmax(0)
    for at, label in labels.items():
        score = await SequenceClassifier(path=str(tmp_path), label=label).score(conversation)
        assert torch.tensor(score).sigmoid().item() == pytest.approx(shares[at].item(), abs=1e-5)


async def test_a_reward_model_that_can_not_be_loaded_is_no_records_fault(tmp_path):
    with pytest.raises(EngineError, match=r"the reward model .* can't be loaded"):
        await Reward(model=SequenceClassifier(path=str(tmp_path)))(dict(RECORD), None)
