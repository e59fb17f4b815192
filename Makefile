# Everything runs from a fresh clone: `make demo`, `make test`. Needs Python 3.11 or newer, make, bash and a compiler.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := w2v_jax experiments configs launch benchmarks tests
# A worker that dies ends the run: pytest-xdist would wait for ever for the groups that it held.
# Twice as many workers as cores: tests wait for processes and files for much of their time.
TEST_ARGS ?= -n 4 --dist loadgroup --max-worker-restart=0 --durations=15 --durations-min=4
PYTEST = JAX_PLATFORMS=cpu TF_CPP_MIN_LOG_LEVEL=3 MPLBACKEND=Agg $(BIN)/python -m pytest $(TEST_ARGS)

.PHONY: help venv demo check test lint format types clean

help:  ## show these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)  ## create .venv with the pinned dependencies (PYTHON=... chooses the interpreter)

# The first of these that is 3.11 to 3.13 and can make virtual environments is used. The stamp is written last, so that a
# failed or interrupted install is done again.
$(STAMP): setup.cfg pyproject.toml constraints-py311.txt constraints-py312.txt
	@rm -f $@; \
	if ! $(BIN)/python -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	  found=; \
	  for candidate in "$(PYTHON)" python3.13 python3.12 python3.11; do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	      found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "error: no Python 3.11 to 3.13 (TensorFlow has no newer wheels) with the venv module among $(PYTHON), python3.13, python3.12, python3.11:" \
	      "install one, or name it with make PYTHON=/path/to/python" >&2; exit 2; fi; \
	  echo "creating $(VENV) with $$found ($$("$$found" --version))"; \
	  rm -rf "$(VENV)"; "$$found" -m venv "$(VENV)"; \
	fi; \
	pins=$$($(BIN)/python -c 'import sys; print("constraints-py3%d.txt" % min(sys.version_info[1], 12))'); \
	echo "installing the dependencies of $$pins (2 to 3 minutes the first time; log in $(VENV)/install.log)"; \
	if ! $(BIN)/python -m pip install --disable-pip-version-check --no-input -e '.[dev]' -c "$$pins" 2>&1 \
	  | tee $(VENV)/install.log \
	  | awk '/^Collecting|^Requirement already/ {if (++n % 10 == 0) {printf "  %d packages found\n", n; fflush()}} \
	      /^Installing collected/ {print "  installing them"; fflush()}'; then \
	  grep -v '^WARNING' $(VENV)/install.log | tail -n 15 >&2; echo "error: the install failed; its log is $(VENV)/install.log" >&2; exit 1; \
	fi; \
	$(BIN)/python -m w2v_jax.nn.kernels; \
	touch $@; echo "$(VENV) is ready"

demo: venv  ## train on text that is already here, then show what was learned (3 minutes on 2 cores)
	@$(BIN)/python -m experiments.demo

check: venv lint types  ## lint, types and the fast tests (2 minutes on 2 cores)
	@$(PYTEST) --fast

test: venv lint types  ## lint, types and the whole test suite (about 11 minutes on 2 idle cores)
	@$(PYTEST)

lint: venv  ## ruff: rules and formatting
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

format: venv  ## ruff: rewrite files
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

types: venv  ## mypy
	@$(BIN)/mypy

clean:  ## remove .venv and tool caches; runs and cached corpora stay
	@rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
