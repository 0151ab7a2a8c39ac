# What differs from site to site, read by every job here. The lines without a # suit a checkout after `make setup`.

# Modules come first: what is loaded after .venv would stand before it in PATH.
# module load python/3.11 cuda/13.0

# An image in which Synth is installed, in place of the checkout's own .venv. It must see the run's folder and /tmp.
# enroot begins in a folder of the image: output_dir has to be a full path.
container=()
# container=(apptainer exec --nv --bind "/scratch/$USER" "$HOME/synth.sif")
# container=(enroot start --rw --conf slurm/enroot.conf --mount "/scratch/$USER:/scratch/$USER" --mount /tmp:/tmp synth)
if ((${#container[@]} == 0)); then
    [[ -r .venv/bin/activate ]] || { echo "error: no .venv in $PWD: make setup makes it" >&2; exit 2; }
    source .venv/bin/activate
fi

# Models: on a shared file system, and without the Hub where compute nodes don't reach it.
# export HF_HOME=/scratch/$USER/huggingface HF_HUB_OFFLINE=1

# The address at which the job's other machines reach this one: the one that SLURM itself uses.
node_address() {
    local name
    name=$(scontrol show node "$SLURMD_NODENAME" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
    getent ahostsv4 "$name" | awk '{ print $1; exit }'
}
# Another network:
# node_address() { ip -4 -o address show ib0 | awk '{ sub("/.*", "", $4); print $4; exit }'; }
