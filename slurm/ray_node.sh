# One machine's part of a job's Ray cluster, run on each by multi_node.sbatch: the head on the first, else a worker.
#
# Ends with its standard input. Its files are in a folder of /tmp (paths of sockets may have a hundred characters).

source slurm/environment.sh

folder=$(mktemp -d "/tmp/ray-$SLURM_JOB_ID-XXXXXX")
trap 'rm -rf "$folder"' EXIT

# What synth.run asks of a Ray of its own: no report to Ray's makers, no idle processes, no GPU hidden from an engine
# that has asked for none.
export RAY_USAGE_STATS_ENABLED=0 RAY_enable_worker_prestart=0 RAY_prestart_worker_first_driver=0
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 RAY_worker_niceness=0
# A busy machine may need more than Ray's 30 s.
export RAY_raylet_start_wait_time_s=60
# After scancel it waits for the engines to be done, but not until SLURM kills it (KillWait, 30 s).
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=15

head_ip=${RAY_ADDRESS%:*} head_port=${RAY_ADDRESS##*:}
if ((SLURM_NODEID == 0)); then
    role=(--head --node-ip-address="$head_ip" --port="$head_port" --ray-client-server-port=$((head_port + 1))
        --include-dashboard=false)
else
    until (: >"/dev/tcp/$head_ip/$head_port") 2>/dev/null; do
        if ((SECONDS > HEAD_TIMEOUT_S)); then
            echo "error: $SLURMD_NODENAME does not reach Ray's head at $RAY_ADDRESS: the run goes on without it" >&2
            exit 1
        fi
        sleep 0.2
    done
    role=(--address="$RAY_ADDRESS" --node-ip-address="$(node_address)")
fi

# Ray counts the GPUs that SLURM lets this step see, but all of the machine's CPUs.
"${container[@]}" ray start "${role[@]}" --num-cpus="$SLURM_CPUS_ON_NODE" --object-store-memory=$((128 * 1024 * 1024)) \
    --dashboard-agent-listen-port=0 --include-log-monitor=false --temp-dir="$folder" --log-color=false --block \
    </dev/null >"$folder/ray-start.log" 2>&1 &
ray=$!
trap 'cancelled=1' TERM # Ray hears of it too

while kill -0 $ray 2>/dev/null; do
    read -r -t 1 _
    if (($? <= 128)); then # no time-out: standard input has ended, and nothing is left that Ray could do
        kill -KILL $ray # and with it, by Linux, the processes it started
        wait $ray 2>/dev/null
        exit 0
    fi
done
[[ -n ${cancelled-} ]] || { echo "error: Ray ended on $SLURMD_NODENAME" >&2; tail -n 20 "$folder/ray-start.log" >&2; exit 1; }
