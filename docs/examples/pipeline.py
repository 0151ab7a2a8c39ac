"""A strategy and its dataset from Python: python -m mine.pipeline"""

from functools import partial

from mine.own_step import Tone
from synth import Pipeline, Sampling, generate
from synth.quality.length import Length
from synth.steps.magpie import Magpie

PIPELINE = Pipeline(
    Magpie(response=Sampling(temperature=0.0, max_tokens=512)),
    partial(Length, column="response", unit="words", min=5),
    Tone(tones=("friendly", "formal")),
    name="toned",
)

if __name__ == "__main__":
    dataset = generate(PIPELINE, num_records=50, output_dir="runs/toned")
    print(dataset.select_columns(["instruction", "response", "tone"]).to_pandas().head())
