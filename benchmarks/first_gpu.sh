#!/usr/bin/env bash
# What a GPU makes of Synth, in steps of ten minutes at the most, and one table at the end.
#
#     bash benchmarks/first_gpu.sh [--dry-run] [STEP ...]
#
# Without steps all are made, in this order:
#     machine     the GPU, its driver, torch
#     install     a .venv beside the machine's own torch, from carried wheels where WHEELS names their folder
#     load        vLLM's compiled part alone, as it is what may not fit to a torch of another version
#     batch       tokens/s of dummy weights of SHAPE at 256, 512 and 1,024 sequences
#     roofline    Synth's own worker and the same requests at once, beside what memory and arithmetic allow
#     seeds       the same batch with and without a seed for each request
#     invariance  the demonstration model's answers alone and in a batch of 256, with and without VLLM_BATCH_INVARIANT
#     preemption  a cache that does not hold the batch: as it comes, vLLM's watermark, Synth's admission
#     run         synth.run with the demonstration model: SIGTERM in its middle, the rest of it, and the memory after it
#
# Nothing is fetched but by pip in `install` where WHEELS is empty. A step that fails is a line of the table, and the
# next one is made. --dry-run prints the commands.
#
# Variables: OUT (first_gpu), WHEELS, PYTHON (python3), SHAPE (8b; also 1b, 0.6b, tiny), STEP_S (600), KV_GIB (8).
set -u
cd "$(dirname "$0")/.." || exit 1

OUT=${OUT:-first_gpu}
WHEELS=${WHEELS:-}
PYTHON=${PYTHON:-python3}
SHAPE=${SHAPE:-8b}
STEP_S=${STEP_S:-600}
KV_GIB=${KV_GIB:-8}
STEPS=(machine install load batch roofline seeds invariance preemption run)
DRY=
PY=.venv/bin/python
export PYTHONPATH=$PWD:$PWD/benchmarks HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_LOGGING_LEVEL=WARNING

if [ "${1:-}" = --dry-run ]; then
    DRY=1
    shift
fi
for step in "$@"; do
    case " ${STEPS[*]} " in
    *" $step "*) ;;
    *)
        echo "error: there is no step '$step'; choose from ${STEPS[*]}" >&2
        exit 2
        ;;
    esac
done
[ $# -eq 0 ] || STEPS=("$@")

# Runs a command, or prints it. Its lines go to the terminal and to the step's log.
do_it() {
    if [ -n "$DRY" ]; then
        printf '%q ' "$@"
        echo
        return 0
    fi
    timeout --kill-after=20 "$STEP_S" "$@" 2>&1 | tee -a "$OUT/$step.log"
    return "${PIPESTATUS[0]}"
}

measure() {
    do_it "$PY" benchmarks/first_gpu.py "$@" --results "$OUT/results.jsonl"
}

make_machine() {
    do_it nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader &&
        do_it "$PYTHON" -c 'import sys, torch; print(sys.version.split()[0], torch.__version__, torch.version.cuda)'
}

make_install() {
    if [ -n "$WHEELS" ]; then
        do_it "$PYTHON" -m venv --system-site-packages .venv &&
            do_it "$PY" -m pip install --no-index --no-deps --find-links "$WHEELS" "$WHEELS"/*.whl &&
            do_it "$PY" -m pip install --no-index --no-deps --no-build-isolation -e .
    else
        do_it make setup DEVICE=gpu "PYTHON=$PYTHON"
    fi
}

make_load() {
    do_it "$PY" -c 'import torch, vllm, vllm._C_stable_libtorch; print(vllm.__version__, "with torch", torch.__version__)'
}

make_batch() {
    local failed=0 sequences
    for sequences in 256 512 1024; do
        measure batch --shape "$SHAPE" --sequences "$sequences" || failed=1
    done
    return "$failed"
}

make_roofline() {
    do_it "$PY" benchmarks/roofline.py --shape "$SHAPE" --max-num-seqs 256 --json "$OUT/roofline.json"
}

make_seeds() {
    measure batch --shape "$SHAPE" --sequences 256 --greedy && measure batch --shape "$SHAPE" --sequences 256 --no-seeds
}

make_invariance() {
    measure invariance
    do_it env VLLM_BATCH_INVARIANT=1 "$PY" benchmarks/first_gpu.py invariance --results "$OUT/results.jsonl"
}

make_preemption() {
    local failed=0 arm
    for arm in "as it comes" "watermark 0.05" admission; do
        measure preemption --shape "$SHAPE" --sequences 512 --kv-gib "$KV_GIB" --arm "$arm" || failed=1
    done
    return "$failed"
}

make_run() {
    local run=("$PY" -m synth.run +strategy=magpie num_records=20000 "output_dir=$OUT/run") code=0
    if [ -n "$DRY" ]; then
        do_it timeout --signal=TERM 120 "${run[@]}"
        do_it "${run[@]}"
        do_it nvidia-smi --query-gpu=memory.used --format=csv,noheader
        return 0
    fi
    timeout --signal=TERM 120 "${run[@]}" 2>&1 | tee -a "$OUT/$step.log"
    code=${PIPESTATUS[0]}
    # timeout says 124 where its signal ended the command, whatever that said itself.
    if [ "$code" -ne 124 ] && [ "$code" -ne 75 ] && [ "$code" -ne 0 ]; then return "$code"; fi
    do_it "${run[@]}" || return $?
    sleep 5
    do_it nvidia-smi --query-gpu=memory.used --format=csv,noheader
}

[ -n "$DRY" ] || mkdir -p "$OUT" || exit 1
for step in "${STEPS[@]}"; do
    echo "== $step"
    began=$SECONDS
    if "make_$step"; then ended="done"; else ended="failed ($?)"; fi
    [ -n "$DRY" ] || printf '%s\t%s\t%s\n' "$step" "$((SECONDS - began))" "$ended" >>"$OUT/steps.tsv"
done
[ -n "$DRY" ] || "$PYTHON" benchmarks/first_gpu_table.py "$OUT"
