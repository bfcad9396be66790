# Everything one does here, a word each. `make` alone lists them; only bash and Python 3.11 are needed.

PYTHON ?=
SEEDS ?= 11 12 13
# Processes that share the tests; each has a database server of its own.
BESIDE := --numprocesses=auto --maxprocesses=4 --dist=load
MAKEFLAGS += --no-print-directory
export PYTHON

BIN := .venv/bin
PY := $(BIN)/python
SOURCES := shared/src gateway/src $(wildcard services/*/src) deploy/local/src tests

.DEFAULT_GOAL := help
.PHONY: help up down status demo reset test test-system test-kafka check bench openapi contracts settings revision lock format clean run-env test-env

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: run-env ## start everything: database, broker, services, gateway; Ctrl-C stops it, data stay
	@$(PY) -m crm_local up

down: run-env ## stop what runs in another terminal; data stay
	@$(PY) -m crm_local down

status: run-env ## show what runs and in which state
	@$(PY) -m crm_local status

demo: run-env ## load the CDNOW sample through the gateway and reconcile it
	@$(PY) -m crm_local demo

reset: run-env ## forget all local data
	@$(PY) -m crm_local reset

test: test-env ## units, HTTP, flows, messaging on the embedded broker
	@$(PY) -m pytest tests --ignore=tests/system --ignore=tests/bench $(BESIDE) $(ARGS)

test-system: test-env ## real processes, kills and faults, once per seed: make test-system SEEDS="1 2 3"
	@CRM_TEST_SEEDS="$(SEEDS)" $(PY) -m pytest tests/system $(ARGS)

test-kafka: test-env ## messaging, flows and system tests on Apache Kafka (needs Java 17 and Maven)
	@$(PY) -m crm_local.apache_kafka
	@CRM_TEST_KAFKA=apache CRM_TEST_SEEDS=$(firstword $(SEEDS)) $(PY) -m pytest tests/messaging tests/flows tests/system $(ARGS)

check: test-env ## style, types, arrows between modules; drift of contracts, OpenAPI, migrations, README
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports
	@$(PY) -m crm_shared.contracts.catalogue check
	@$(PY) -m crm_local.openapi check
	@$(PY) -m crm_local.settings_table check
	@$(PY) -m crm_local.revisions check

bench: test-env ## what it costs, as ratios to its ceilings
	@$(PY) -m tests.bench $(ARGS)

openapi: test-env ## write the merged OpenAPI document that the gateway serves
	@$(PY) -m crm_local.openapi write

contracts: test-env ## write the snapshot of the events' contracts
	@$(PY) -m crm_shared.contracts.catalogue write

settings: test-env ## write the README's table of settings
	@$(PY) -m crm_local.settings_table write

revision: test-env ## write a migration: make revision service=tickets message="add priority"
	@$(PY) -m crm_local.revisions revision $(service) "$(message)"

lock: test-env ## make the requirement files anew; make lock ARGS=--upgrade takes newer versions
	@deploy/lock.sh $(ARGS)

format: test-env ## let ruff put the code in order
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

clean: ## forget the environment and all caches; local data stay
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

run-env:
	@deploy/environment.sh deploy/local/requirements.txt

test-env:
	@deploy/environment.sh deploy/local/requirements.txt tests/requirements.txt
