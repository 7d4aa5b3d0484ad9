# Creates the virtual environments: a small one for uv, and with uv all others.

UV_VERSION := 0.13.9
UV_ENV := .cache/uv-$(UV_VERSION)
UV := $(UV_ENV)/bin/python tools/uv.py
FIND_PYTHON := $(UV) python find --system

CONSTRAINTS := tools/constraints-3.3.txt

# This project, as uv is to install it.
INSTALLED ?= --editable ".[$(EXTRAS)]"

# Airflow versions without constraints are resolved as of a day on which they worked: with later releases of their
# dependencies some install without complaint and then fail every task (today 3.0.6, 3.2.0 and 3.2.2).
CUTOFF_2.11 := 2026-11-15
CUTOFF_3.0 := 2025-09-05
CUTOFF_3.1 := 2026-11-15
CUTOFF_3.2 := 2026-06-15
CUTOFF_3.2.0 := 2026-04-20
CUTOFF_3.3 := 2026-11-15
EXCLUDE_NEWER ?= $(or $(CUTOFF_$(AIRFLOW_VERSION)),$(CUTOFF_$(basename $(AIRFLOW_VERSION))))

# What a beta of Airflow is made of are betas too: uv takes them, and no others, where they are named.
ifneq ($(findstring b,$(AIRFLOW_VERSION)),)
BETAS := "apache-airflow-core==$(AIRFLOW_VERSION)" "apache-airflow-task-sdk==$(patsubst 3.%,1.%,$(AIRFLOW_VERSION))"
endif

ifeq ($(AIRFLOW_VERSION),$(LOCKED_AIRFLOW))
VERSIONS := --constraints $(CONSTRAINTS) --build-constraints $(CONSTRAINTS)
else
VERSIONS := $(addprefix --exclude-newer ,$(EXCLUDE_NEWER))
endif

# The first of these that can create virtual environments is used, for uv's and, unless PYTHON is given, all others.
PYTHONS := python3.13 python3.12 python3.11 python3.10 python3 /usr/local/bin/python3 /usr/bin/python3
TOO_OLD := Python 3.10 or newer is needed. Name one with: make PYTHON=/path/to/python3

$(UV_ENV)/bin/python:
	@for python in $(PYTHONS) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[0-3]*/bin/python "$(PYTHON)"; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 || continue; \
	    recent=$$python; \
	    if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then usable=$$python; break; fi; \
	done; \
	if [ -z "$$recent" ]; then \
	    echo "$(TOO_OLD)" >&2; exit 1; \
	elif [ -z "$$usable" ]; then \
	    echo "$$recent cannot make virtual environments: it lacks the module ensurepip. Install it (Debian and" \
	        "Ubuntu: apt-get install python3-venv), or name another: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "[env] preparing, with $$usable"; \
	"$$usable" -m venv --clear $(UV_ENV) && \
	echo "[env] uv $(UV_VERSION) (18 MB)" && \
	$(UV_ENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) || \
	{ rm -rf $(UV_ENV); exit 1; }

# Created again for another Python or Airflow, and if the checkout has moved: scripts contain absolute paths.
$(VENV)/made-for.txt: always | $(UV_ENV)/bin/python
	@wanted="Airflow $(AIRFLOW_VERSION) [$(EXTRAS)] $(PYTHON) $$(pwd)"; \
	if [ ! -x $(BIN)/python ] || [ "$$(cat $@ 2>/dev/null)" != "$$wanted" ]; then \
	    echo "[env] $(VENV): creating" && \
	    $(UV) venv --quiet --clear --seed --python "$(or $(PYTHON),$(UV_ENV)/bin/python)" $(VENV) && \
	    $(BIN)/python -c 'import sys; sys.version_info < (3, 10) and sys.exit("$(TOO_OLD)")' && \
	    echo "$$wanted" >$@; \
	fi

# --seed above installs pip, which `make demo` needs. compileall does what pip would do: DAG files import the
# package again and again.
$(VENV)/installed: $(VENV)/made-for.txt pyproject.toml $(CONSTRAINTS) tools/env.mk tools/uv.py
	@echo "[env] $(VENV): installing Airflow $(AIRFLOW_VERSION) and this project [$(EXTRAS)], $$($(BIN)/python --version)"
	@$(UV) pip install --python $(BIN)/python $(VERSIONS) \
	    "apache-airflow==$(AIRFLOW_VERSION)" $(BETAS) $(INSTALLED)
	@$(BIN)/python -m compileall -q airflow_provider_fdi
	@touch $@

.PHONY: always
always:
