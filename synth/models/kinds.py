"""What a model can do by its config.json: generate, embed, or score.

If a config.json is unclear, or names custom code, nothing is refused: an engine may support the model.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.errors import nearest

_SCORES = "ForSequenceClassification"
# Heads that don't predict a next token.
_NO_TEXT = re.compile(
    r"(For(MaskedLM|PreTraining|NextSentencePrediction|QuestionAnswering|MultipleChoice|TextEncoding|Retrieval|Ranking"
    r"|\w*Classification|\w*RewardModel(ing)?)|EncoderModel|EmbeddingModel|RewardModel)$"
)
_SHOWN = 12  # labels in a message


def architecture(config: Mapping[str, Any]) -> str:
    """The first architecture of a config.json."""
    return str((config.get("architectures") or ["no architecture"])[0])


def scores(config: Mapping[str, Any]) -> bool:
    """Whether its outputs are scores. Otherwise they are an embedding, or next tokens."""
    return architecture(config).endswith(_SCORES)


def generates_nothing(config: Mapping[str, Any]) -> str | None:
    """Why it can't generate text, None if it may: it has another head, or none, like an encoder."""
    name = architecture(config)
    if not (_NO_TEXT.search(name) or (_is_base(name) and "auto_map" not in config)):
        return None
    return f"a {name}, which cannot generate text; architectures that can mostly end in ForCausalLM"


def _is_base(name: str) -> bool:
    """Whether Transformers knows it as a model without a head."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    bases = (one for value in MODEL_MAPPING_NAMES.values() for one in ([value] if isinstance(value, str) else value))
    return name.endswith(("Model", "Encoder")) and name in bases


@dataclass(frozen=True)
class Score:
    """Which output of a classifier is a text's score: its only one, or the log-odds of a label.

    So the sigmoid of a score is the label's probability, whether labels are mutually exclusive (`of_one`) or not.
    """

    index: int
    of_one: bool

    def of(self, outputs: Sequence[float]) -> float:
        """From the classifier's raw outputs, before any softmax or sigmoid."""
        own = float(outputs[self.index])
        others = [float(one) for at, one in enumerate(outputs) if at != self.index]
        if not (self.of_one and others):
            return own
        most = max(others)
        return own - most - math.log(sum(math.exp(other - most) for other in others))


def score_of(config: Mapping[str, Any], label: str | None) -> Score:
    """For a classifier; `label` is needed if it has several outputs. Raises ValueError."""
    named = config.get("id2label")
    count = len(named) if named else int(config.get("num_labels", 2))
    labels = [str(one) for one in named.values()] if named else [f"LABEL_{at}" for at in range(count)]
    if label is None and count != 1:
        shown = ", ".join(labels[:_SHOWN]) + (", ..." if count > _SHOWN else "")
        raise ValueError(f"is missing: the classifier has {count} outputs, choose the one for the score: {shown}")
    if label is not None and label not in labels:
        raise ValueError(f"there is no label {label!r}{nearest(label, labels)}")
    return Score(labels.index(label) if label else 0, config.get("problem_type") != "multi_label_classification")
