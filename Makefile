# make run              sets up, then generates with the shipped demo model: make run ARGS="num_records=500 seed=7"
# make test             sets up, then style, types and tests: make test ARGS="tests/quality -k refusal"
# make lint             style only
# make types            types only
# make test-docs        every command of README and docs with vLLM, where `make test` only plans the runs
# make test-faults      kills workers, drivers and nodes of a real Ray cluster
# make test-slurm       the job scripts on a real SLURM, which it installs from Debian's packages
# make test-gpu-config  what vLLM's own code for GPUs makes of the presets; fetches its wheel once (326 MB)
# make bench            how near to the engine's limit, and what the schedule costs
# make bench-peers      the same records by other tools; installs each in an environment of its own
# make docs             builds the documentation as a site in dist/docs, and checks every link in it
# make setup            .venv only; DEVICE=gpu or DEVICE=cpu chooses the build of vLLM, as on a login node without a GPU
# make clean            removes the environments, dist/ and all caches; runs/ stays
# make help             shows this

PYTHON ?= python3
# A .venv that is there is used as it is, unless DEVICE asks for the other build.
ifndef DEVICE
DEVICE := $(patsubst .venv/made-%,%,$(firstword $(wildcard .venv/made-*)))
endif
ifeq ($(DEVICE),)
DEVICE := $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU ' && echo gpu || echo cpu)
endif
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)
PIP := .venv/bin/python -m pip install -qq --disable-pip-version-check

PY_BENCH := .venv/bin/python benchmarks

.PHONY: help run test test-faults test-docs test-slurm test-gpu-config bench bench-peers docs lint types setup clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: setup
	@.venv/bin/python -m synth.run +strategy=magpie $(ARGS)

# In two processes, or up to four: many tests wait more than they compute.
test: lint types
	@.venv/bin/python -m pytest -n logical --maxprocesses=4 --dist=loadfile $(ARGS)

test-faults: setup
	@.venv/bin/python -m pytest tests/test_faults.py -m faults $(ARGS)
	@.venv/bin/python -m pytest tests/test_duplicates.py -m faults $(ARGS)
	@.venv/bin/python -m pytest tests/test_groups.py -m faults $(ARGS)
	@.venv/bin/python -m pytest tests/test_autoscaling.py -m faults $(ARGS)
	@.venv/bin/python -m pytest tests/test_models_on_nodes.py -m faults $(ARGS)
	@.venv/bin/python -m pytest tests/test_ray_job.py -m faults $(ARGS)
	@.venv/bin/python -m pytest tests/test_ray_lost.py -m faults $(ARGS)

test-docs: setup
	@.venv/bin/python -m pytest tests/test_documents.py -m documents $(ARGS)

test-slurm: setup
	@test -x /usr/sbin/slurmctld || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq \
		--no-install-recommends slurm-wlm munge; } || echo "SLURM can't be installed here"
	@.venv/bin/python -m pytest tests/slurm -m slurm -o cache_dir=.pytest_cache/slurm $(ARGS)

test-gpu-config: setup
	@.venv/bin/python tests/gpu/wheel.py
	@.venv/bin/python -m pytest tests/gpu -m "gpu_config or not gpu_config" $(ARGS)

bench: setup
	@$(PY_BENCH)/engine_limit.py
	@$(PY_BENCH)/engine_limit.py --model real --workloads magpie --scale 0.3
	@$(PY_BENCH)/scale.py
	@$(PY_BENCH)/readme.py

bench-peers: setup
	@$(PY_BENCH)/peers.py --install barrier distilabel ray_data
	@$(PY_BENCH)/peers.py
	@$(PY_BENCH)/readme.py

# In an environment of its own: it needs nothing of Synth, and Synth nothing of it.
docs: .venv-docs/made
	@.venv-docs/bin/python -m sphinx -q -n -W --keep-going -c docs/site docs dist/docs
	@echo "dist/docs/index.html"

.venv-docs/made: requirements/docs.txt
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install -qq --disable-pip-version-check -r requirements/docs.txt
	@touch $@

lint: setup
	@.venv/bin/ruff check --output-format=concise
	@.venv/bin/ruff format --check --diff

types: setup
	@.venv/bin/mypy

setup: .venv/made-$(DEVICE)

# Where there is an NVIDIA GPU, pip resolves the `gpu` extra: PyPI's vLLM and torch are built for it. Elsewhere, the
# pinned list of requirements/cpu.txt, which says why it takes two steps.
.venv/made-$(DEVICE): pyproject.toml requirements/cpu.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer: make PYTHON=python3.11")'
	@echo "Setting up .venv for $(DEVICE): once, some minutes"
	@test -e $@ || rm -rf .venv
	@$(PYTHON) -m venv .venv
ifeq ($(DEVICE),gpu)
	$(PIP) -r requirements/dev.txt -e '.[gpu,dev]'
else
	$(PIP) -c requirements/cpu.txt torch==2.13.0
	$(PIP) --no-deps -r requirements/cpu.txt -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
endif
	@touch $@

clean:
	rm -rf .venv .venv-docs dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
