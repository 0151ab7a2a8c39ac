"""The command `synth`: one word more for each door, `synth run` for `python -m synth.run`.

Exit codes are the door's own; 2 for a word that is none.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from synth.errors import nearest

DOORS = {
    "run": ("synth.run", "make a dataset: synth run +strategy=magpie num_records=500"),
    "pilot": (
        "synth.pilot.__main__",
        "which settings suit a model: synth pilot +strategy=magpie model=qwen3-8b",
    ),
    "tune": (
        "synth.tune.__main__",
        "which engine settings suit this machine: synth tune +strategy=magpie model=qwen3-8b",
    ),
    "show": ("synth.show", "what is in a run's folder: synth show runs/magpie"),
    "report": ("synth.report.__main__", "a run as a page, several side by side: synth report runs/a runs/b"),
    "merge": ("synth.merge", "one dataset of what runs have committed so far: synth merge runs/magpie"),
    "export": (
        "synth.export",
        "other formats, or the Hub: synth export runs/magpie --output-dir exported",
    ),
    "draw": ("synth.draw", "a strategy as a picture: synth draw +strategy=magpie"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, DOORS))
        print("Synth generates synthetic instruction-tuning data.\n")
        print("\n".join(f"  synth {name:{width}}  {what}" for name, (_, what) in DOORS.items()))
        print("\nsynth COMMAND --help tells of each.")
        return 0
    if words[0] not in DOORS:
        hint = nearest(words[0], DOORS) or f"; choose from {', '.join(DOORS)}"
        print(f"error: {words[0]}: no such command{hint}", file=sys.stderr)
        return 2
    code: int = import_module(DOORS[words[0]][0]).main(words[1:])
    return code
