#!/usr/bin/env bash
# One dataset by eight SLURM jobs that know nothing of each other, and a merge when all are done. From the checkout, after
# `make setup DEVICE=gpu` and a look at slurm/environment.sh. A task that is stopped goes back into the queue and resumes.
set -euo pipefail
job=$(sbatch --parsable --array=0-7 slurm/array.sbatch +strategy=magpie model=qwen3-8b num_records=1000000 output_dir=runs/big)
sbatch --dependency="afterok:$job" --wrap '.venv/bin/python -m synth.merge runs/big'
