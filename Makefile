# Needs only make and Python 3.10 or later: whichever target is called first creates the environment.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
MAKEFLAGS += --no-print-directory
# If it were set, each of Airflow's many processes would compile Airflow again.
unexport PYTHONDONTWRITEBYTECODE

LOCKED_AIRFLOW := 3.3.2
AIRFLOW_VERSION ?= $(LOCKED_AIRFLOW)

# The interpreter for the environment: a path, a command or a version. Found automatically if empty.
PYTHON ?=

# The extras of this project to install.
EXTRAS ?= dev

# One environment per Airflow version; the default one is .venv.
ifeq ($(AIRFLOW_VERSION),$(LOCKED_AIRFLOW))
VENV ?= .venv
else
VENV ?= .venv-$(AIRFLOW_VERSION)
endif
BIN := $(VENV)/bin

# The cells of the matrix: Airflow version:Python version.
MATRIX ?= 2.11.2:3.10 3.1.8:3.12 3.3.2:3.11 3.4.0b2:3.13

# More arguments for pytest, for example: make test PYTEST_ARGS="-k sensor -x"
PYTEST_ARGS ?=
DEMO_ARGS ?=

# The tests that need no real Airflow processes.
IN_PROCESS := not system and not distributed

# Its hook names tables for OpenLineage. Without its dependencies: of its three drivers, one has to be compiled.
MYSQL_PROVIDER := apache-airflow-providers-mysql==6.7.1

# The rounds of faults of `make test-distributed`; empty: one, always the same.
SEEDS ?=

# Empty: `make lock` keeps the versions that are in the file already.
UPGRADE ?= --upgrade

include tools/env.mk

.PHONY: help
help: ## this list
	@echo "usage: make TARGET [PYTHON=/path/to/python3] [AIRFLOW_VERSION=$(LOCKED_AIRFLOW)]"
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  make %-13s %s\n' "$$name" "$$text"; done

.PHONY: env
env: $(VENV)/installed ## create the environment (other targets do it by themselves)

.PHONY: demo
demo: env ## run the batch pipeline on a real Airflow over real data
	@$(BIN)/python -m demo.run $(DEMO_ARGS)

.PHONY: ui
ui: env ## run Airflow and the emulator with the example DAGs until Ctrl-C
	@$(BIN)/python -m demo.ui $(DEMO_ARGS)

.PHONY: test
test: env lint types ## lint, types and all tests but those on real processes
	@$(BIN)/python -m pytest tests -m "$(IN_PROCESS)" $(PYTEST_ARGS)

.PHONY: test-one
test-one: env ## one test file or one test: make test-one T=tests/client/test_cron.py
	@$(BIN)/python -m pytest '$(or $(T),$(error Which test? Example: make test-one T=tests/client/test_cron.py))' $(PYTEST_ARGS)

.PHONY: test-system
test-system: env ## tests on real Airflow processes: killed workers, triggerers, outages
	@$(BIN)/python -m pytest tests/system -m system $(PYTEST_ARGS); code=$$?; \
	if [ $$code -eq 5 ]; then echo "make test-system: no test was run" >&2; fi; \
	exit $$code

.PHONY: test-distributed
test-distributed: ## a round of faults on Celery, PostgreSQL and Redis; more: SEEDS="1 2 3"
	@$(MAKE) env VENV=.venv-distributed EXTRAS=distributed AIRFLOW_VERSION=$(LOCKED_AIRFLOW)
	@$(UV) pip install --quiet --no-deps --python .venv-distributed/bin/python $(MYSQL_PROVIDER)
	@SEEDS="$(SEEDS)" .venv-distributed/bin/python -m pytest tests/distributed -m distributed $(PYTEST_ARGS)

.PHONY: servers
servers: $(UV_ENV)/bin/python ## install the servers of test-distributed, if any are missing (Debian, Ubuntu)
	@missing=$$($(UV_ENV)/bin/python tests/distributed/programs.py) || exit 1; \
	if [ -n "$$missing" ]; then \
	    sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	    $$sudo apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -qq -y --no-install-recommends $$missing; \
	fi

.PHONY: lint
lint: env ## ruff; import-linter: who may import whom; zizmor: workflows; names of changelog fragments
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/zizmor --offline --pedantic --quiet --no-progress .github
	@$(MAKE) changelog-draft >/dev/null

.PHONY: types
types: env ## mypy, strict for the parts without Airflow
	@$(BIN)/mypy

.PHONY: format
format: env ## ruff: format, and fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: matrix
matrix: $(UV_ENV)/bin/python ## the tests on every cell of MATRIX, then a table
	@table=; failed=0; \
	for cell in $(MATRIX); do \
	    airflow=$${cell%%:*}; wanted=$${cell#*:}; note=; \
	    if ! python=$$($(FIND_PYTHON) "$$wanted" 2>/dev/null); then \
	        note="  (no Python $$wanted on this machine)"; \
	        python=$$($(FIND_PYTHON) ">=3.10,<3.13") || exit 1; \
	    fi; \
	    have=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "matrix: Airflow $$airflow on Python $$have$$note"; \
	    started=$$(date +%s); outcome=passed; \
	    $(MAKE) matrix-one AIRFLOW_VERSION="$$airflow" PYTHON="$$python" VENV=".venv-$$airflow-py$$have" || \
	        { outcome=FAILED; failed=1; }; \
	    table="$$table$$(printf '%-10s %-8s %-8s %4s s%s' "$$airflow" "$$have" "$$outcome" \
	        "$$(($$(date +%s) - started))" "$$note")|"; \
	done; \
	printf '\n%-10s %-8s %-8s %s\n' Airflow Python outcome time; \
	printf '%s' "$$table" | tr '|' '\n'; \
	exit $$failed

.PHONY: matrix-one
matrix-one: env ## the tests on one Airflow: make matrix-one AIRFLOW_VERSION=2.11.2 PYTHON=3.10
	@echo "Airflow $(AIRFLOW_VERSION), $$($(BIN)/python --version)"
	@$(BIN)/python -m pytest tests -m "$(IN_PROCESS)" $(PYTEST_ARGS)

.PHONY: bench
bench: ## measure every figure of the README, and other providers (in .venv-bench)
	@$(MAKE) env VENV=.venv-bench EXTRAS=bench AIRFLOW_VERSION=$(LOCKED_AIRFLOW)
	@.venv-bench/bin/python benchmarks/run.py

.PHONY: docs
docs: env ## the documentation as a site, in site/; fails on dead links
	@$(BIN)/python tools/documentation.py

.PHONY: api
api: env ## write tests/package/public_api.txt: every public name and its parameters
	@$(BIN)/python tools/public_api.py

.PHONY: package
package: env ## build wheel and sdist in dist/ and check them
	@rm -rf dist
	@$(UV) build --quiet --build-constraints $(CONSTRAINTS)
	@$(BIN)/twine check --strict dist/*

.PHONY: sbom
sbom: env ## write build/sbom/: what the wheel in dist/ needs, in the versions it was tested with
	@$(BIN)/python -m tools.sbom

# They see whether something is missing in the wheel or wrong in its metadata. The other tests would find the same as in
# the checkout, since a test compares the files of both. They run in a folder without the package.
WHEEL_TESTS := test_provider_info.py client/test_package.py operators/test_imports.py operators/test_run_basics.py \
    sensors emulator/test_process.py
WHEEL_FOLDER := build/test-wheel

.PHONY: test-wheel
test-wheel: ## test the wheel in dist/ as it is installed, on one Airflow like matrix-one
	@rm -rf $(WHEEL_FOLDER) && mkdir -p $(WHEEL_FOLDER)
	@$(MAKE) env VENV=$(WHEEL_FOLDER)/venv INSTALLED="$$(echo dist/*.whl)[$(EXTRAS)]"
	@cp -r pyproject.toml tests example_dags $(WHEEL_FOLDER)
	@cd $(WHEEL_FOLDER) && venv/bin/python -m pytest $(addprefix tests/,$(WHEEL_TESTS)) $(PYTEST_ARGS)

.PHONY: changelog-draft
changelog-draft: env ## show the changelog of the next release
	@shown=$$($(BIN)/towncrier build --draft 2>&1) || { echo "$$shown" >&2; exit 1; }; echo "$$shown"

.PHONY: changelog-check
changelog-check: env ## is there a fragment for what differs from BASE? make changelog-check BASE=origin/main
	@$(BIN)/towncrier check --compare-with "$(or $(BASE),origin/main)"

.PHONY: changelog
changelog: env ## move the fragments of changelog.d/ to CHANGELOG.md, as the section of __version__
	@$(BIN)/towncrier build --yes

.PHONY: release-check
release-check: env ## may this be released? make release-check TAG=v1.0.0 REPOSITORY=https://…
	@$(BIN)/python tools/release.py "$(TAG)" "$(REPOSITORY)"

.PHONY: lock
lock: $(UV_ENV)/bin/python ## resolve tools/constraints-3.3.txt again; UPGRADE= only adds what is missing
	@echo "apache-airflow==$(LOCKED_AIRFLOW)" | $(UV) pip compile --quiet $(UPGRADE) pyproject.toml - \
	    --extra dev --extra distributed --universal --python-version 3.10 --no-annotate --no-emit-package airflow-provider-fdi \
	    --custom-compile-command "make lock" --output-file $(CONSTRAINTS)
	@$(MAKE) env

.PHONY: clean
clean: ## remove environments, caches and built files
	@rm -rf .venv .venv-* .cache .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
