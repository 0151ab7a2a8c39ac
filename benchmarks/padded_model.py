"""The demonstration model made as dear as a larger one, and no cleverer.

Zeros are added to it: wider feed-forward layers whose new rows and columns are zero. Each token costs the work of the
larger model and the text is the demonstration model's own: answers that the parsers read, that end by themselves, and
that are as long as they would be. So a benchmark has a real workload at a cost where the engine, not Python, is what
takes the time.
"""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch.nn.functional import pad

from synth.demo_model import PATH


def make(folder: Path, intermediate_size: int) -> int:
    """Write the model to `folder`, with `intermediate_size` in each layer. Returns its number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in PATH.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((PATH / "config.json").read_text())
    extra = intermediate_size - config["intermediate_size"]
    weights = load_file(PATH / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("gate_proj.weight", "up_proj.weight")):
            weights[name] = pad(weight, (0, 0, 0, extra)).contiguous()
        elif name.endswith("down_proj.weight"):
            weights[name] = pad(weight, (0, extra)).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": intermediate_size}, indent=2))
    return sum(weight.numel() for weight in weights.values())
