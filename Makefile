# Needs Python 3.11 or newer, make and git; everything else is installed into .venv on first use.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet install
LOG := $(VENV)/install.log
# One worker more than there are cores in a small machine: some of them wait for a lease, or for another process.
PYTEST_FLAGS ?= -n 3 --maxschedchunk 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

.PHONY: help
help: ## Show the targets
	@awk -F ':[^#]*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.base ## Watch alerts being handled: a made-up cluster, no server and no account needed
	@$(PY) -m responder demo

.PHONY: test
test: venv servers ## Run the tests (fewer: make test T=tests/unit)
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest --quiet $(PYTEST_FLAGS) $(T)

.PHONY: test-cluster
test-cluster: venv ## Run the tests of the Kubernetes actions in a cluster of yours, in a namespace of their own (KUBECONFIG=…)
	@test -n "$(KUBECONFIG)" || { echo "Say which cluster: make test-cluster KUBECONFIG=FILE" >&2; exit 2; }
	@RESPONDER_TEST_CLUSTER="$(KUBECONFIG)" PYTHONDONTWRITEBYTECODE= $(PY) -m pytest --quiet $(PYTEST_FLAGS) \
	  tests/conformance/test_actions.py tests/conformance/test_cluster_story.py -k "kubernetes or story"

.PHONY: check
check: lint types imports test ## Run all that must hold: lint, types, import rules, tests

.PHONY: lint
lint: venv ## Check the style and the formatting
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --diff .

.PHONY: types
types: venv ## Check the types
	@$(PY) -m mypy --no-error-summary

.PHONY: imports
imports: venv ## Check that imports run one way
	@$(VENV)/bin/lint-imports > $(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }

.PHONY: format
format: venv ## Format the code and mend what can be mended
	@$(PY) -m ruff check --quiet --fix . || true
	@$(PY) -m ruff format --quiet .

.PHONY: docs
docs: venv ## Write the reference and the index of the documentation anew, from the code
	@$(PY) -m scripts.reference

.PHONY: bench
bench: venv servers ## Measure the speed, with the ceiling beside it
	@$(PY) -m benchmarks

.PHONY: crash
crash: venv servers ## Kill a responder at every point where it writes or acts, and ask the target what came of it
	@$(PY) -m tests.attack crash

.PHONY: chaos
chaos: venv servers ## Let five misfortunes happen under load: crashes, and a PostgreSQL that fails in three ways
	@$(PY) -m tests.attack chaos

.PHONY: fuzz
fuzz: venv ## Feed a million inputs to whatever reads text from outside
	@$(PY) -m tests.attack fuzz

.PHONY: seeds
seeds: venv ## Simulate days of alerts, deaths and people, each made from a seed
	@$(PY) -m tests.attack seeds

.PHONY: model
model: venv ## Play made-up stories to the program and to a specification of a hundred lines, and compare the two
	@$(PY) -m tests.attack model

.PHONY: guards
guards: venv servers ## Break each guard of docs/reference/safety.md on purpose, and see a test fail that holds it
	@$(PY) -m tests.attack guards

.PHONY: pause
pause: venv servers ## Pull the brake while hundreds of runs are ready on two replicas, and see what begins behind it
	@$(PY) -m tests.attack pause

.PHONY: resume
resume: venv servers ## Kill a responder with ten thousand unfinished runs, and measure until each that is due goes on
	@$(PY) -m tests.attack resume

.PHONY: soak
soak: venv servers ## Load two replicas for ten minutes while something goes wrong every twenty seconds
	@$(PY) -m tests.attack soak

.PHONY: storm
storm: venv servers ## Send a hundred thousand alerts in a minute to one responder whose playbook may act on twenty
	@$(PY) -m tests.attack storm

.PHONY: telling
telling: venv servers ## Kill a responder wherever it tells somebody something, and ask Slack and PagerDuty what they show
	@$(PY) -m tests.attack telling

.PHONY: tell-storm
tell-storm: venv servers ## Tell two thousand incidents of one minute in twenty Slack channels, within Slack's limits
	@$(PY) -m tests.attack tell-storm

.PHONY: lock
lock: ## Write requirements/*.txt anew from pyproject.toml (needs uv)
	@scripts/lock

.PHONY: servers
servers: ## Install the servers that tests start (PostgreSQL, PgBouncer, Redis, Prometheus, Alertmanager)
	@scripts/servers

.PHONY: venv
venv: $(VENV)/.stamp ## Make .venv with all that development needs
	@:

.PHONY: clean
clean: ## Remove all that make has made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The output of pip is shown only when it failed. Its order matters: the hashed sets first, then the checkout itself,
# built with the pinned backend, so that nothing unpinned is ever downloaded.
$(VENV)/.base: requirements/base.txt requirements/build.txt
	@test -x $(PY) || { python=$${PYTHON:-$$(scripts/find-python)} && "$$python" -m venv $(VENV); }
	@echo "installing the libraries into $(VENV)"
	@{ $(PIP) --require-hashes -r requirements/base.txt && $(PIP) --require-hashes -r requirements/build.txt \
	  && $(PIP) --no-deps --no-build-isolation --editable .; } > $(LOG) 2>&1 || { cat $(LOG); exit 1; }
	@touch $@

$(VENV)/.stamp: $(VENV)/.base requirements/dev.txt
	@echo "installing the tools of development into $(VENV)"
	@$(PIP) --require-hashes -r requirements/dev.txt > $(LOG) 2>&1 || { cat $(LOG); exit 1; }
	@touch $@
