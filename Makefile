# `make` alone lists the targets. Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
HISTORIES ?= 10000
FIRST ?= 1
ROUNDS ?= 20

.PHONY: help setup demo broker test test-fast mutants soak chaos lint schemas options openapi ui pictures format bench bench-quick clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY) ## install everything into .venv
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "streamsched needs Python 3.11 or later; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## work through a million numbers on this machine; interrupted, it continues where it was
	@$(BIN)/python -m tools.demo

BROKERS ?= 1
broker: $(READY) ## run a real Kafka broker, or BROKERS=3 of them, on loopback (needs Java 17 and Maven, no Docker)
	@$(BIN)/python -m tools.cluster --brokers $(BROKERS)

lint: $(READY) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

SIDE_BY_SIDE := -n auto --maxprocesses 4
test: lint ## lint, then every test that does not take minutes, with a real Kafka broker
	$(BIN)/pytest $(SIDE_BY_SIDE)

test-fast: $(READY) ## run it after each change: no broker, nothing slow
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not kafka and not fault and not slow'

mutants: $(READY) ## break the code in many ways, one at a time: the simulation notices each
	@$(BIN)/python -m tests.mutants

soak: $(READY) ## run HISTORIES=10000 simulated histories from seed FIRST=1, on all cores
	@$(BIN)/python -m tests.simulation --histories $(HISTORIES) --first $(FIRST)

chaos: $(READY) ## ROUNDS=20 of faults against real nodes and a real broker; exit 1 where a promise is broken
	@$(BIN)/python -m tests.chaos --rounds $(ROUNDS)

schemas: $(READY) ## write the schemas of new events, and of events with new fields
	@$(BIN)/python -m tools.schemas

options: $(READY) ## write the options of all commands into docs/settings.md
	@$(BIN)/python -m tools.options

openapi: $(READY) ## write the document of the HTTP API into schemas/openapi.json
	@$(BIN)/python -m tools.openapi

ui: ui/node_modules/.ready ## build the pages of the server into src/streamsched/ui (needs Node)
	@cd ui && npm run --silent check && npm run --silent build

ui/node_modules/.ready: ui/package.json
	cd ui && npm install --no-package-lock --no-audit --no-fund
	@touch $@

pictures: $(READY) ## make the pictures in docs/pictures, from a real run (needs Chromium and Playwright for Python)
	@$(BIN)/python -m tools.pictures

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.plots ## measure on a real broker; writes bench/results/latest.json and .png
	$(BIN)/python -m bench

.venv/.plots: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@touch $@

bench-quick: $(READY) ## the same, smaller, within two minutes
	$(BIN)/python -m bench --quick

clean: ## remove what the other targets made, data included
	rm -rf .venv .kafka .streamsched bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis
