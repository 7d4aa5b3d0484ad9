# Everything below needs Python >= 3.10 and make, nothing else: the first target called makes the environment.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory
# Airflow is dozens of processes: none of them shall compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

LOCKED_AIRFLOW := 3.3.2
AIRFLOW_VERSION ?= $(LOCKED_AIRFLOW)

# The interpreter that the environment is made from. Looked for when not given.
PYTHON ?=

# One environment per Airflow version; the default one is .venv.
ifeq ($(AIRFLOW_VERSION),$(LOCKED_AIRFLOW))
VENV ?= .venv
else
VENV ?= .venv-$(AIRFLOW_VERSION)
endif
BIN := $(VENV)/bin

# airflow version:Python version, one cell of the matrix each.
MATRIX ?= 2.11.0:3.10 3.1.8:3.12 3.3.2:3.11

# Further arguments for pytest, as in: make test PYTEST_ARGS="-k sensor -x"
PYTEST_ARGS ?=
DEMO_ARGS ?=

.PHONY: help
help: ## this list
	@echo "usage: make TARGET [PYTHON=/path/to/python3] [AIRFLOW_VERSION=$(LOCKED_AIRFLOW)]"
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  make %-13s %s\n' "$$name" "$$text"; done

.PHONY: env
env: ## the environment (other targets make it by themselves)
	@python="$(PYTHON)"; \
	[ -n "$$python" ] || python=$$(tools/find-python.sh) || exit 1; \
	"$$python" tools/bootstrap.py --venv "$(VENV)" --airflow "$(AIRFLOW_VERSION)"

.PHONY: demo
demo: env ## emulator, a real Airflow and the batch pipeline over real data, to success
	@$(BIN)/python -m demo.run $(DEMO_ARGS)

.PHONY: ui
ui: env ## Airflow and the emulator with the example DAGs, left running until Ctrl-C
	@$(BIN)/python -m demo.ui $(DEMO_ARGS)

.PHONY: test
test: env lint types ## lint, types and the whole suite but the system tests
	@$(BIN)/python -m pytest tests -m "not system" $(PYTEST_ARGS)

.PHONY: test-system
test-system: env ## real components: killed workers and triggerers, outages, hand-over
	@$(BIN)/python -m pytest tests/system -m system $(PYTEST_ARGS); code=$$?; \
	if [ $$code -eq 5 ]; then echo "make test-system: no test was run" >&2; fi; \
	exit $$code

.PHONY: lint
lint: env ## ruff
	@$(BIN)/ruff check .

.PHONY: types
types: env ## mypy, strict where no Airflow is involved
	@$(BIN)/mypy

.PHONY: format
format: env ## ruff, mending what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: matrix
matrix: ## the suite on every cell of MATRIX, then a table
	@sh tools/matrix.sh $(MATRIX)

.PHONY: matrix-one
matrix-one: env ## the suite on one Airflow: make matrix-one AIRFLOW_VERSION=2.11.0 PYTHON=python3.10
	@echo "Airflow $(AIRFLOW_VERSION), $$($(BIN)/python --version)"
	@$(BIN)/python -m pytest tests -m "not system" $(PYTEST_ARGS)

.PHONY: bench
bench: ## the figures of README and docs/scaling.md, beside the peers, in one run (in .venv-bench)
	@python="$(PYTHON)"; \
	[ -n "$$python" ] || python=$$(tools/find-python.sh) || exit 1; \
	"$$python" tools/bootstrap.py --venv .venv-bench --extras bench
	@.venv-bench/bin/python benchmarks/run.py

.PHONY: docs
docs: env ## docs/api.md anew, from the docstrings
	@$(BIN)/python tools/api_reference.py

.PHONY: package
package: env ## wheel and sdist in dist/, checked
	@rm -rf dist
	@$(BIN)/python -m build --installer uv
	@$(BIN)/twine check --strict dist/*

.PHONY: lock
lock: ## resolve tools/constraints-3.3.txt anew and install it
	@python="$(PYTHON)"; \
	[ -n "$$python" ] || python=$$(tools/find-python.sh) || exit 1; \
	"$$python" tools/bootstrap.py --venv .venv --lock

.PHONY: clean
clean: ## remove environments, caches and what was built
	@rm -rf .venv .venv-* .cache .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
