# A command inside a SLURM job, told of the job's end in time and brought back after it.
#
# USR1 is what `#SBATCH --signal=B:USR1@...` sends to the batch shell before the time is up. TERM is what scancel and
# preemption send. Of both the command is told by USR1 (SLURM may send it a TERM too, and Ray aborts at two of them); it
# writes down what it has finished and ends with 75. Then the job goes back into the queue, unless it was TERM: what was
# cancelled stays so, and a preempted job is requeued by SLURM.

command=
told= # the last signal
signals=0

tell() {
    told=$1
    signals=$((signals + 1))
    [[ -z $command ]] || kill -s USR1 "$command" 2>/dev/null
}
trap 'tell USR1' USR1
trap 'tell TERM' TERM

# Runs "$@" to its end, however often `wait` is interrupted; returns its exit code. One that a signal ended before it
# listened has done nothing that could be lost, and one that was told before it began is not started.
run_to_end() {
    local code heard
    [[ -z $told ]] || return 75
    "$@" &
    command=$!
    while heard=$signals; wait "$command"; code=$?; ((heard != signals)); do :; done
    if [[ -n $told ]] && ((code == 128 + $(kill -l USR1) || code == 128 + $(kill -l TERM))); then code=75; fi
    return "$code"
}

# Ends the job with an exit code, or gives it back to the queue.
end_job() {
    local code=$1
    if ((code == 75)) && [[ $told != TERM ]]; then
        trap '' TERM # a requeue sends it to this shell
        echo "job $SLURM_JOB_ID goes back into the queue, to go on from there"
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit "$code"
}
