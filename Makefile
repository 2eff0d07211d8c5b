# One folder, one environment (.venv), kept in step with the lock. Paths are relative and quoted throughout, so that
# the folder's own name may hold spaces. `make help` lists the targets.

.DEFAULT_GOAL := quick
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# Named by the user, or else the first of these that is new enough.
PYTHON ?=
pythons = $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11)

# A user without a home (docker --user): what Snakemake keeps there goes into this folder.
ifneq ($(shell test -w "$$HOME" && echo there),there)
export HOME := $(CURDIR)/.home
endif

# Jobs call `python` by name, so the environment's stands first on their path. Not exported for the whole file: the
# set-up must find the system's Python.
in_venv = PATH="$$PWD/.venv/bin:$$PATH"
python = $(in_venv) .venv/bin/python
snakemake = $(python) -m snakemake
resources = --cores all --resources gpu=1

.PHONY: quick test test-gpu test-gpu-sim bench bench-instrument bench-repeatability bench-startup bench-trainer bench-scale plan again compare share submit accept lint gallery lock clean help

quick: .venv/.installed ## Set up and run the quick preset (the default target)
	@$(python) workflow/live.py $(resources) --configfile workflow/presets/quick.yaml $(ARGS)
	@echo "The full default run: . .venv/bin/activate && snakemake $(resources)"

test: .venv/.installed-test ## Set up, test tools included, and run every test
	@$(python) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-gpu: .venv/.installed ## Twenty checks of the instrument on this GPU, in at most eight minutes
	@$(python) tests/gpu/check.py $(ARGS)

test-gpu-sim: .venv/.installed-test ## Every measuring script on two simulated GPUs, faulty ones too (Linux, g++)
	@$(python) -m pytest tests/gpu_sim/simulated.py $(ARGS)

# One after the other, whatever -j says: benchmarks want the machine for themselves.
bench: ## Every benchmark, one after the other
	@$(if $(ARGS),$(error ARGS is for one benchmark: make bench-instrument ARGS="…", make bench-trainer ARGS="…"))
	@$(MAKE) --no-print-directory bench-startup
	@$(MAKE) --no-print-directory bench-instrument
	@$(MAKE) --no-print-directory bench-repeatability
	@$(MAKE) --no-print-directory bench-trainer
	@$(MAKE) --no-print-directory bench-scale

bench-instrument: .venv/.installed ## Measure how good the instrument is
	@PYTHONPATH=workflow/scripts $(python) benchmarks/instrument.py $(ARGS)

bench-repeatability: .venv/.installed ## Measure cells again and again, or compare runs: ARGS="run1/results run2/results"
	@PYTHONPATH=workflow/scripts $(python) benchmarks/repeatability.py $(ARGS)

bench-startup: .venv/.installed ## Measure what each measuring script imports besides torch
	@PYTHONPATH=workflow/scripts $(python) benchmarks/startup.py $(ARGS)

bench-trainer: .venv/.installed-peers ## Measure how fast the trainer is, against the peers it installs
	@PYTHONPATH=workflow/scripts $(python) benchmarks/trainer.py $(ARGS)

bench-scale: .venv/.installed ## Measure how the pipeline grows: 100, 1,000 and 5,000 cells
	@$(python) benchmarks/scale.py $(ARGS)

plan: .venv/.installed ## Jobs and expected minutes per question, before anything runs
	@$(python) workflow/plan.py $(ARGS)

again: .venv/.installed ## Measure again what a neighbour spoilt in the last run
	@$(python) workflow/again.py $(ARGS)

compare: .venv/.installed ## Several runs in one report, nothing measured: make compare RUNS="../laptop ../cluster"
	@$(python) workflow/compare.py $(RUNS) $(ARGS)

share: .venv/.installed ## One archive of this run, for others: make share ARGS="--output laptop.zip"
	@$(python) workflow/share.py $(ARGS)

submit: .venv/.installed ## Check this run and make a reference set of it: make submit ARGS="--label epyc-7763-2-cores"
	@$(python) workflow/submit.py $(ARGS)

accept: .venv/.installed ## Keep the records of the last run after a harmless edit, and answer from them
	@$(python) workflow/accept.py $(ARGS)

lint: .venv/.installed-test ## Style, types and Snakemake's own lint
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(in_venv) .venv/bin/snakefmt --check Snakefile workflow/rules
	$(snakemake) --lint

gallery: .venv/.installed-test ## Pictures of the report, for the README and for reviewers
	@$(python) tests/gallery.py $(ARGS)

lock: .venv-lock/.installed ## Resolve pyproject.toml into envs/ again (ARGS=--upgrade for newer versions)
	@$(resolve) pyproject.toml --output-file envs/requirements.txt
	@$(resolve) --group test --constraint envs/requirements.txt --output-file envs/requirements-test.txt
	@$(resolve) --group peers --constraint envs/requirements.txt --constraint envs/requirements-test.txt \
		--output-file envs/requirements-peers.txt
	@.venv-lock/bin/python envs/lock.py

clean: ## Remove the environments and caches, never the results
	rm -rf .venv .venv-lock .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'ARGS="…" is passed on: make test ARGS="-k setup", make plan ARGS="--help".'
	@echo 'PYTHON=… names the Python to set up with.'


# ---- set-up ----------------------------------------------------------------------------------------------------------

# The stamps carry the time of the last install: a newer lock brings the environment back into step.
# An environment names the folder that it was made in, in all of its scripts: in another one it is made anew.
made_in := $(shell cat .venv/.installed 2>/dev/null)
ifneq ($(made_in),)
ifneq ($(made_in),$(shell pwd -P))
.venv/.installed: .venv/moved
.venv/moved:
	@echo "This folder was renamed or copied: its environment is made anew."
	@rm -rf .venv
endif
endif

.venv/.installed: envs/requirements.txt
	@$(call venv,.venv)
	@echo "Installing the locked requirements (on Linux a download of about 3 GB the first time)."
	@$(call install,.venv,--require-hashes -r envs/requirements.txt)
	@pwd -P >$@

.venv/.installed-test: envs/requirements-test.txt .venv/.installed
	@$(call install,.venv,--require-hashes -r envs/requirements-test.txt)
	@touch $@

# What the trainer is compared with; nothing else needs it.
.venv/.installed-peers: envs/requirements-peers.txt .venv/.installed
	@$(call install,.venv,--require-hashes -r envs/requirements-peers.txt)
	@touch $@

# uv resolves for every platform at once, which pip cannot. It stays out of .venv, so that a lock that does not install
# can still be replaced.
.venv-lock/.installed:
	@$(call venv,.venv-lock)
	@$(call install,.venv-lock,'uv>=0.9')
	@touch $@

# One version per package for all platforms, and no trace of the index or the machine it was resolved on.
resolve = .venv-lock/bin/uv pip compile --quiet --universal --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(ARGS)

# $(1): the folder. An environment that works is kept, so that a new lock costs only what changed. Candidates are
# tried by running them, because version managers leave names on the path that only print an error.
define venv
"$(1)/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exit; \
tried=; version=; \
for python in $(pythons); do \
    found=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then version=$$found; break; fi; \
    tried="$${tried:+$$tried, }$$python is $$found"; \
done; \
if [ -z "$$version" ]; then \
    echo "torch-assay needs Python 3.11 or newer ($${tried:-none was found}):" \
        "install one, or name it with make PYTHON=/path/to/python." >&2; \
    exit 1; \
fi; \
if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
    echo "$$python cannot create virtual environments:" \
        "install its venv module (Debian and Ubuntu: apt install python$$version-venv) and run make again." >&2; \
    exit 1; \
fi; \
"$$python" -m venv --clear "$(1)"
endef

# $(1): the folder, $(2): what to install. pip retries and explains at length; its log keeps that, the user gets the
# cause.
define install
rm -f "$(1)/install.log"; \
"$(1)/bin/python" -m pip install --log "$(1)/install.log" $(2) 2>/dev/null && exit; \
if grep -qiE 'connection error|connection broken|connectionerror|timed out|incompleteread' "$(1)/install.log"; then \
    echo "The package index could not be reached:" \
        "check the network (or pip's index and proxy settings) and run make again." >&2; \
else \
    sed -n 's/^[^ ]* *ERROR: //p' "$(1)/install.log" | tail -n 2 >&2; \
    echo "pip could not install the requirements: the reason is above, all of it in $(1)/install.log." >&2; \
fi; \
exit 1
endef
