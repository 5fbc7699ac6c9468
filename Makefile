# `make help` lists the targets. Everything happens in .venv and build/, but for what is downloaded:
# packages into uv's cache (UV_CACHE_DIR), Kafka into the Maven repository (M2_REPO, else ~/.m2).
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DISTRIBUTIONS := libs/ugc-events libs/ugc-settings services/ugc-api services/etl local
OURS := ugc-events ugc-settings ugc-api ugc-etl ugc-local

EVENTS ?= 200000
BENCH_EVENTS ?= 2000000
STEPS ?= 2000000
DAYS ?= 1
FAULTS ?= 30
EXAMPLE ?= view_progress
FILE ?=
SOAK ?=
REGISTRY ?=
PLATFORMS ?=
SOAK_S ?= 600
CASES ?= 100000
WHERE ?= node
SQL ?= SELECT * FROM analytics.events
export SQL

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made anew also where this folder was moved or copied with it, where its Python is
# gone, and where another Python is asked for by name.
FITS := [ "$$(cat $(READY))" = "$$(pwd -P)" ] && $(BIN)/python -c ''
ifneq ($(origin PYTHON),file)
FITS += && [ "$$($(BIN)/python -V)" = "$$("$(PYTHON)" -V)" ]
endif
ifneq ($(shell { $(FITS); } 2>/dev/null && echo yes),yes)
.PHONY: $(READY)
endif

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml $(DISTRIBUTIONS:%=%/pyproject.toml)
	@sh local/bootstrap.sh "$(PYTHON)" $(VENV) $(DISTRIBUTIONS)

.PHONY: setup
setup: $(READY) ## Make the virtual environment, packages exactly as locked

COMPILE := pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

.PHONY: lock
lock: $(READY) ## Resolve the locks anew, for all platforms, hashes without addresses
	@echo 'uv>=0.13.8,<0.14' | $(BIN)/uv $(COMPILE) - -o requirements-bootstrap.lock
	@$(BIN)/uv $(COMPILE) --group dev $(OURS:%=--no-emit-package %) pyproject.toml -o requirements.lock

.PHONY: lock-check
lock-check: $(READY) ## Check that the lock installs on Linux and macOS, x86-64 and arm64, and names no address
	@! grep -nE '[a-z]+://' requirements.lock requirements-bootstrap.lock
	@mkdir -p build && cp requirements.lock build/requirements.lock
	@$(BIN)/uv $(COMPILE) --group dev $(OURS:%=--no-emit-package %) pyproject.toml -o build/requirements.lock >/dev/null
	@cmp requirements.lock build/requirements.lock || { echo "requirements.lock is not what pyproject.toml asks for: make lock"; exit 1; }
	@for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-apple-darwin aarch64-apple-darwin; do \
	  for version in 3.11 3.12 3.13 3.14; do \
	    $(BIN)/uv pip install --quiet --dry-run --target build/lock-check --only-binary :all: --require-hashes \
	      --python-platform $$platform --python-version $$version -r requirements.lock || exit 1; \
	  done; echo "requirements.lock: $$platform, Python 3.11 to 3.14"; \
	done

.PHONY: test
test: $(READY) ## Run every test, on the real broker and the real engine
	@$(BIN)/python -m pytest

.PHONY: test-k8s
test-k8s: $(READY) ## Keep the promises of the charts on a real Kubernetes, made for it (Linux, root)
	@$(BIN)/python -m pytest k8s-tests/tests

.PHONY: test-k8s-smoke
test-k8s-smoke: $(READY) ## The first of them: install, send, read back, uninstall
	@$(BIN)/python -m pytest k8s-tests/tests/promises/test_smoke.py

.PHONY: fuzz
fuzz: $(READY) ## Look for new counterexamples: the tests with examples, 2,000 random ones each
	@$(BIN)/python -m pytest --hypothesis-profile=new -m hypothesis

.PHONY: fuzz-api
fuzz-api: $(READY) ## Random requests through the whole API: no 5xx, nothing left in memory (CASES=100000 SEED=1)
	@PYTHONPATH=services/ugc-api/tests $(BIN)/python -m robustness.fuzz --cases $(CASES) $(if $(SEED),--seed $(SEED))

.PHONY: conformance
conformance: $(READY) ## Check the ClickHouse server that runs here against ClickHouse's documented behaviour (SOAK=1: long parts too)
	@UGC_CONFORMANCE_SOAK=$(SOAK) $(BIN)/python -m pytest local/tests/conformance

.PHONY: lint
lint: $(READY) ## Check style and formatting
	@$(BIN)/ruff check && $(BIN)/ruff format --check

.PHONY: types
types: $(READY) ## Check types
	@$(BIN)/mypy $(DISTRIBUTIONS:%=%/src)
	@MYPYPATH=services/etl/simulation $(BIN)/mypy services/etl/simulation
	@$(BIN)/mypy charts/values_schema.py charts/proofs.py infra/helm/find_helm.py infra/images/machines.py
	@MYPYPATH=benchmarks/schema:benchmarks/etl:benchmarks/api $(BIN)/mypy benchmarks
	@MYPYPATH=k8s-tests:k8s-tests/tests:k8s-tests/tests/promises:charts/tests $(BIN)/mypy k8s-tests/ugc_cluster k8s-tests/tests/promises

.PHONY: contracts
contracts: $(READY) ## Check layers, and that a driver is imported in one place
	@$(BIN)/lint-imports

.PHONY: images
images: ## Build the images with docker, podman or buildah (REGISTRY=registry.example.org/ugc/ PLATFORMS=)
	@PLATFORMS="$(PLATFORMS)" sh infra/images/build.sh $(REGISTRY)

.PHONY: kind-load
kind-load: ## Give the images to a kind cluster (KIND_CLUSTER=kind)
	@sh infra/images/load.sh kind

.PHONY: minikube-load
minikube-load: ## Give the images to minikube (MINIKUBE_PROFILE=minikube)
	@sh infra/images/load.sh minikube

.PHONY: chart-schemas
chart-schemas: $(READY) ## Write the charts' values.schema.json from their values.yaml and the services' settings
	@$(BIN)/python charts/values_schema.py

.PHONY: chart-proofs
chart-proofs: $(READY) ## Write what is proven of the charts, and how, into docs/
	@$(BIN)/python charts/proofs.py

.PHONY: k8s-proofs
k8s-proofs: $(READY) ## The same, with the last run of the promises recorded (WHERE=node, kind or minikube)
	@$(BIN)/python charts/proofs.py $(WHERE)

.PHONY: demo
demo: $(READY) ## A day of viewing from HTTP to an analyst's answer, compared with the truth (EVENTS=200000 DAYS=1)
	@$(BIN)/ugc demo --events $(EVENTS) --days $(DAYS)

.PHONY: generate
generate: $(READY) ## Play days of viewing into a running `make up` (EVENTS=200000 DAYS=1); the same command goes on
	@$(BIN)/ugc generate --events $(EVENTS) --days $(DAYS)

.PHONY: likeness
likeness: $(READY) ## Measure generated viewing against published figures
	@$(BIN)/ugc likeness

.PHONY: simulate
simulate: $(READY) ## The delivery protocol under random schedules, on every core (STEPS=2000000)
	@PYTHONPATH=services/etl/simulation $(BIN)/python -m ugc_etl_simulation --steps $(STEPS) --report build/reports/simulate.json

.PHONY: chaos
chaos: $(READY) ## Faults of every kind under a steady load, and nothing lost or doubled (FAULTS=30 SEED=)
	@$(BIN)/python -m ugc_local.chaos --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

.PHONY: chaos-api
chaos-api: $(READY) ## Faults around the API under load, and nothing acknowledged is missing (FAULTS=30 SEED=)
	@$(BIN)/python -m ugc_local.chaos_api --faults $(FAULTS) $(if $(SEED),--seed $(SEED))

.PHONY: up
up: $(READY) ## Start the platform and leave it running
	@$(BIN)/ugc up

.PHONY: down
down: $(READY) ## Stop what `make up` started; the data stay
	@$(BIN)/ugc down

.PHONY: status
status: $(READY) ## Show what runs, how well, and how far the events have come
	@$(BIN)/ugc status

.PHONY: send
send: $(READY) ## Send events to it (FILE=events.json, or EXAMPLE=view_progress)
	@$(BIN)/ugc send $(if $(FILE),"$(FILE)",--example $(EXAMPLE))

.PHONY: query
query: $(READY) ## Ask it as an analyst (SQL='SELECT * FROM analytics.events')
	@$(BIN)/ugc query "$$SQL"

.PHONY: logs
logs: $(READY) ## Show the last lines of its logs (`.venv/bin/ugc logs -f` follows)
	@$(BIN)/ugc logs

.PHONY: bench-etl
bench-etl: $(READY) ## Measure the ETL against its limit (BENCH_EVENTS=2000000)
	@PYTHONPATH=benchmarks/schema $(BIN)/python benchmarks/etl/bench.py --events $(BENCH_EVENTS)

.PHONY: bench-api
bench-api: $(READY) ## Measure the API beside a bare Flask route (SOAK_S=600)
	@$(BIN)/python benchmarks/api/bench_api.py --soak $(SOAK_S)
