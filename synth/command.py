"""The console command `synth`: a subcommand for each program, `synth run` for `python -m synth.run`.

Exit codes are the subcommand's; 2 for an unknown one.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from synth.errors import nearest

COMMANDS = {
    "run": ("synth.run", "make a dataset: synth run +strategy=magpie num_records=500"),
    "pilot": (
        "synth.pilot.__main__",
        "which settings suit a model: synth pilot +strategy=magpie model=qwen3-8b",
    ),
    "tune": (
        "synth.tune.__main__",
        "the fastest engine settings here: synth tune +strategy=magpie model=qwen3-8b",
    ),
    "show": ("synth.show", "show what is in a run's folder: synth show runs/magpie"),
    "report": ("synth.report.__main__", "write a run's report, or compare runs: synth report runs/a runs/b"),
    "merge": ("synth.merge", "merge the committed shards of runs into one dataset: synth merge runs/magpie"),
    "export": (
        "synth.export",
        "convert a dataset, or push it to the Hub: synth export runs/magpie --output-dir DIR",
    ),
    "draw": ("synth.draw", "draw a strategy as a diagram: synth draw +strategy=magpie"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("Synth generates synthetic instruction-tuning data.\n")
        print("\n".join(f"  synth {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()))
        print("\nRun synth COMMAND --help for details.")
        return 0
    if words[0] not in COMMANDS:
        hint = nearest(words[0], COMMANDS) or f"; choose from {', '.join(COMMANDS)}"
        print(f"error: {words[0]}: no such command{hint}", file=sys.stderr)
        return 2
    code: int = import_module(COMMANDS[words[0]][0]).main(words[1:])
    return code
