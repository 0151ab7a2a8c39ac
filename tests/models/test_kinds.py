"""What a config.json tells of a model's kind: whether it generates, and which of its outputs is a score."""

import math

import pytest

from synth.models.kinds import generates_nothing, score_of


@pytest.mark.parametrize(
    "architecture",
    "MPNetModel BertModel XLMRobertaModel Qwen3Model T5EncoderModel BertForMaskedLM RobertaForMaskedLM "
    "LlamaForSequenceClassification BertForTokenClassification Qwen2ForRewardModel Qwen2ForProcessRewardModel".split(),
)
def test_an_encoder_a_classifier_and_a_model_without_a_head_generate_nothing(architecture):
    assert f"a {architecture}, which cannot generate text" in generates_nothing({"architectures": [architecture]})


@pytest.mark.parametrize(
    "architecture",
    "LlamaForCausalLM GPT2LMHeadModel QWenLMHeadModel InternVLChatModel Gemma3ForConditionalGeneration "
    "Qwen2_5OmniModel BertLMHeadModel MiniCPMO SomeoneElsesModel".split(),
)
def test_what_generates_or_may_is_not_refused(architecture):
    assert generates_nothing({"architectures": [architecture]}) is None


@pytest.mark.parametrize("config", [{}, {"architectures": None}, {"architectures": ["BertModel"], "auto_map": {}}])
def test_who_says_nothing_or_has_code_of_its_own_is_left_to_the_engine(config):
    assert generates_nothing(config) is None


def test_the_only_output_is_the_score_as_it_is():
    assert score_of({"id2label": {"0": "LABEL_0"}}, None).of([-3.5]) == -3.5
    assert score_of({"num_labels": 1}, "LABEL_0").of([2.0]) == 2.0


def test_the_sigmoid_of_a_labels_score_is_its_probability():
    config, outputs = {"id2label": {"0": "bad", "1": "so-so", "2": "good"}}, [1.0, -2.0, 3.0]
    score = score_of(config, "good").of(outputs)
    assert 1 / (1 + math.exp(-score)) == pytest.approx(math.exp(3) / sum(map(math.exp, outputs)))
    assert score_of(config, "good").of([1e4, 0.0, -1e4]) == -2e4


def test_labels_that_do_not_exclude_each_other_have_their_own_output():
    config = {"id2label": {"0": "toxic", "1": "rude"}, "problem_type": "multi_label_classification"}
    assert score_of(config, "rude").of([5.0, -1.0]) == -1.0


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (None, "is missing: the classifier has 2 outputs, choose the one for the score: bad, good"),
        ("goood", "there is no label 'goood'; did you mean 'good'?"),
    ],
)
def test_a_score_of_which_it_is_not_known_what_it_is_of_names_the_labels(label, expected):
    with pytest.raises(ValueError) as caught:
        score_of({"id2label": {"0": "bad", "1": "good"}}, label)
    assert str(caught.value) == expected
