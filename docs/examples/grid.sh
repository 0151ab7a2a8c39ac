#!/usr/bin/env bash
# Which sampling suits the model? Small trials side by side on one engine, then a run of each setting that is left and one
# table of all. Further overrides go to both: bash mine/grid.sh model=qwen3-8b
set -euo pipefail
python -m synth.pilot +strategy=magpie strategy.magpie.instruction.temperature=0.7,0.85,1.0 num_records=32 output_dir=pilots/grid "$@"
python -m synth.run --multirun +strategy=magpie strategy.magpie.instruction.temperature=0.7,0.85 num_records=200 output_dir=runs/grid "$@"
