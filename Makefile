# `make demo` shows it, `make test` proves it; both from a bare clone.
PYTHON ?= python3
VENV   ?= .venv
# Processes of the tests. Many of them wait, for a session of Kafka to expire for instance.
JOBS   ?= 3
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# The JDK and Maven decide which broker the tests and the benchmark get; `.ci/run` insists on
# Apache Kafka.
HOOKSEAL_TEST_BROKER ?= $(shell command -v java >/dev/null && command -v mvn >/dev/null && echo apache || echo embedded)
test test-all bench: export HOOKSEAL_TEST_BROKER := $(HOOKSEAL_TEST_BROKER)
# The tests start hundreds of processes. Without bytecode on disk each one compiles all modules.
test test-all fast: export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-all fast lint bench chaos sbom site ci lock clean

SBOM ?= sbom.json

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/.dev  ## a virtual environment, and the programs that the tests run
	@.ci/packages

demo: $(VENV)/.run   ## the main job, live, on an embedded broker
	$(BIN)/hookseal demo

test: setup          ## what a change can break, on Apache Kafka where Java and Maven are
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not extended"

test-all: setup      ## test, and chaos, benchmarks, brokers, examples, browsers, image, manifests
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m "not alone"
	$(BIN)/pytest -m alone

fast: $(VENV)/.dev   ## unit tests and properties only, a quarter of the examples each
	$(BIN)/pytest -n 2 --hypothesis-profile quick tests/unit tests/properties

lint: $(VENV)/.dev   ## style, types, import contracts, dependencies, spelling, pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy receiver/examples/python
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/deptry --config receiver/pyproject.toml receiver/hookseal_receiver
	$(BIN)/codespell
	$(BIN)/pymarkdown scan $$(git ls-files '*.md' ':!docs/cli.md')

bench: $(VENV)/.dev  ## all that is measured, into build/bench.json and .svg; hostile receivers
	$(BIN)/python -m benchmarks --all --json build/bench.json --svg build/bench.svg
	$(BIN)/python -m benchmarks --hostile --seconds 20

chaos: $(VENV)/.dev  ## workers, brokers and the API killed by a seed; ARGS="--seconds 900 --seed 1"
	$(BIN)/python -m tests.chaos.run $(ARGS)

sbom: $(VENV)/.dev   ## a bill of materials (CycloneDX) of what is installed; SBOM=file
	$(BIN)/cyclonedx-py requirements --output-format JSON --output-file $(SBOM) requirements.txt

site: $(VENV)/.dev   ## the documentation as a site, in build/site
	$(BIN)/mkdocs build --strict

ci: lint test-all    ## what must be green

lock: $(VENV)/.dev   ## pin every dependency again, with hashes
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url \
	  --no-header --no-strip-extras --quiet --upgrade --extra receiver --extra embedded --extra redis --extra otel --extra build -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url \
	  --no-header --no-strip-extras --quiet --constraint requirements.txt --extra dev -o requirements-dev.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/node/node_modules \
	  receiver/examples/node/node_modules receiver/dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hookseal needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What `make demo` needs, and no more: it is somebody's first minute with hookseal.
$(VENV)/.run: requirements.txt pyproject.toml receiver/pyproject.toml | $(BIN)/python
	@echo "Installing hookseal and its dependencies into $(VENV)."
	$(PIP) install --require-hashes -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation -e . -e receiver
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@echo "Installing the tools of the tests into $(VENV)."
	$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@
