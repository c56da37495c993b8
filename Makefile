# `make help` lists the targets. Works with GNU make 3.81, which macOS has.

VENV ?= .venv
BIN := $(VENV)/bin
PIP_VERSION := pip==26.3
INSTALL := $(BIN)/python -m pip install -qq --constraint constraints.txt --build-constraint constraints.txt
PYTEST := $(BIN)/python -m pytest
PARALLEL := --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
AGENTS := tests/e2e/node_modules/.package-lock.json
SDKS := tests/matrix/node_modules/.package-lock.json
FRONTS := tests/front/node_modules/.package-lock.json
EXAMPLES := examples/react-chat/node_modules/.package-lock.json examples/react-agent/node_modules/.package-lock.json
JUDGES := build/judges

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test needs check lint matrix docs judges bench peers compiled soak lock clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile
	@echo "  Options: ARGS=\"--port 9000\" for run, REQUIRE_ALL=1 for test (a skip fails), PYTHON=/path/to/python3"

run: $(VENV)/.stamp-run ## Install into .venv and start the gateway with its embedded model
	@$(BIN)/millstream serve --unknown-model default $(ARGS)

test: needs lint ## Everything: format, types, imports, the whole suite with coverage
	$(PYTEST) $(PARALLEL) --cov --cov-report=term:skip-covered $(ARGS)

needs: $(VENV)/.stamp-test $(AGENTS) $(SDKS) $(FRONTS) $(EXAMPLES) ## What the whole suite needs, installed

check: $(VENV)/.stamp-test lint ## The quick gate: format, types, imports, unit tests
	$(PYTEST) $(PARALLEL) -q --ignore=tests/e2e --ignore=tests/matrix --ignore=tests/fuzz $(ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

matrix: $(VENV)/.stamp-test $(SDKS) ## What each SDK reads of each recording, as a table (ARGS="--only gemini/")
	@PYTHONPATH=tests/support $(BIN)/python tests/matrix/report.py $(ARGS)

docs: $(VENV)/.stamp-test ## The documentation as a site, in build/site (ARGS="serve" shows it while it is written)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(or $(ARGS),build --strict --quiet)

judges: $(VENV)/.stamp-run $(JUDGES)/.stamp ## Let independent programs judge the gateway (ARGS="--only faults")
	@$(BIN)/python -m judges.run $(ARGS)

bench: $(VENV)/.stamp-run $(if $(PEERS),peers) ## Measure against direct and nginx (ARGS="--quick"), PEERS=1: and other gateways
	@$(MAKE) --no-print-directory -C bench
	@$(BIN)/python bench/run.py $(if $(PEERS),--peers) $(ARGS)

peers: ## Install the gateways that `make bench PEERS=1` measures beside ours, in environments of their own
	@scripts/install-peers bench/build/peers

compiled: $(VENV)/.stamp-run ## Build the compiled package for `make bench` to measure beside the pure one
	@scripts/build-compiled bench/build/compiled $(BIN)/python

soak: $(VENV)/.stamp-run ## Streams of every end for half an hour: is anything left behind? (ARGS="--minutes 2")
	@PYTHONPATH=tests/support $(BIN)/python bench/soak.py $(ARGS)

lock: ## Resolve all dependencies anew and write constraints.txt
	scripts/lock

clean: ## Remove what the other targets made here
	rm -rf $(VENV) bench/build tests/e2e/node_modules tests/matrix/node_modules tests/front/node_modules examples/*/node_modules examples/*/dist build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-venv: scripts/make-venv Makefile
	@echo "making $(VENV) …"
	@scripts/make-venv $(VENV) $(PIP_VERSION)
	@touch $@

$(VENV)/.stamp-run: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	@echo "installing millstream …"
	@$(INSTALL) --editable '.[all]'
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-run
	@echo "installing what the tests need …"
	@$(INSTALL) --group test --group check --group docs
	@touch $@

$(JUDGES)/.stamp: scripts/make-venv judges/requirements.txt judges/package-lock.json
	@echo "installing the judges in $(JUDGES) …"
	@mkdir -p $(JUDGES)
	@{ scripts/make-venv $(JUDGES) $(PIP_VERSION) && \
	    $(JUDGES)/bin/python -m pip install -qq --requirement judges/requirements.txt && \
	    cp judges/package.json judges/package-lock.json $(JUDGES) && (cd $(JUDGES) && npm ci --loglevel=error); } || \
	    { echo "The judges could not be installed: they come from the package indexes, by pip and npm (see their words above)." >&2; exit 1; }
	@touch $@

$(AGENTS): tests/e2e/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	    echo "installing coding agents for the tests …"; cd tests/e2e && npm ci --loglevel=error; \
	else \
	    echo "npm is not installed: tests with coding agents will be skipped"; \
	fi

$(SDKS): tests/matrix/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	    echo "installing the TypeScript SDKs for the tests …"; cd tests/matrix && npm ci --loglevel=error; \
	else \
	    echo "npm is not installed: what the TypeScript SDKs read will not be tested"; \
	fi

$(FRONTS): tests/front/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	    echo "installing the stock clients of front ends for the tests …"; cd tests/front && npm ci --loglevel=error; \
	else \
	    echo "npm is not installed: stock clients of front ends will not be tested"; \
	fi

$(EXAMPLES): %/node_modules/.package-lock.json: %/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
	    echo "installing what $* needs …"; cd $* && npm install --no-save --loglevel=error; \
	else \
	    echo "npm is not installed: what needs $* will not be tested"; \
	fi
