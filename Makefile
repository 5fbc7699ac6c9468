# `make help` lists the targets. Everything happens in .venv and build/; nothing else is touched.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DISTRIBUTIONS := libs/ugc-events libs/ugc-settings services/ugc-api services/etl local

EVENTS ?= 200000

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml $(DISTRIBUTIONS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "$(PYTHON) is Python %d.%d; the platform needs 3.11 or newer: make PYTHON=/path/to/python3.11" % v[:2])'
	@echo "setting up $(VENV) as locked"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-index $(DISTRIBUTIONS:%=--editable %)
	@touch $(READY)

.PHONY: setup
setup: $(READY) ## Make the virtual environment, packages exactly as locked

.PHONY: lock
lock: ## Resolve the locks anew, for all platforms, hashes without addresses
	@echo 'uv>=0.13.8,<0.14' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 - -o requirements-bootstrap.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  $(DISTRIBUTIONS:%=--no-emit-package ugc-%) --group dev pyproject.toml -o requirements.lock
