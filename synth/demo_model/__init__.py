"""A demonstration chat model: small enough to ship, good for trying Synth offline, and nothing else.

It has the form of a real chat model (Llama architecture, ChatML template, safetensors), and was trained from scratch,
by `python -m synth.demo_model.train`, on text from the grammar in this folder. It knows a few hundred words and no
world; its answers show that a pipeline runs, never that a technique works.
"""

from pathlib import Path

PATH: Path = Path(__file__).parent / "weights"

# What `model.path: demo` says beside the path. In no preset's file, where another model.path=... would take it over.
KEYS = {"name": "synth-demo", "dtype": "float32", "license": "apache-2.0"}
