# Everything is installed into this folder; nothing else on the machine is touched.
.DEFAULT_GOAL := run
.PHONY: run quick quick-types quick-tests test unit integration covered uncovered test-emulators check bench compat ratios soak mutants contract client release format setup clean

PY := .venv/bin/python
# A shell may forbid bytecode, which doubles the time of each start.
export PYTHONDONTWRITEBYTECODE :=
export UV_PYTHON_DOWNLOADS ?= automatic

run: setup ## the platform, the app, a tour through it; Ctrl-C stops it; ARGS="--port 7072" and the like are passed on
	@$(PY) -m local.tour $(ARGS)

setup: ## install what is missing
	@local/setup/prepare.sh

# Integration tests wait for processes and for time to pass; unit tests fill what that leaves of two cores.
WORKERS ?= 4

test: setup ## everything that proves something
	$(PY) -m pytest tests/integration_tests tests/unit_tests -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

unit: setup ## the unit tests alone
	$(PY) -m pytest tests/unit_tests -n 2 $(ARGS)

integration: setup ## the integration tests alone
	$(PY) -m pytest tests/integration_tests -n 3 --dist loadfile $(ARGS)

covered: setup ## the quick unit tests with branch coverage, of which at least 85 % is asked
	@rm -f .coverage .coverage.*
	$(PY) -m pytest tests/unit_tests -n 2 -m "not slow" --cov --cov-report=term:skip-covered

uncovered: setup ## all other tests: the slow unit tests while the integration tests wait
	$(PY) -m pytest tests/integration_tests tests/unit_tests -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "slow or integration"

test-emulators: setup ## the integration tests on the official emulators of infra/compose.yaml, but for those that need the local ones
	TENANTRY_EMULATORS=1 $(PY) -m pytest tests/integration_tests -m "not local_endpoints" -p no:cacheprovider $(ARGS)

quick: setup ## format, lint, types, import rules and the quick unit tests: the inner loop
	$(PY) -m ruff format --check --quiet .
	$(PY) -m ruff check --quiet .
	@$(MAKE) --no-print-directory --jobs=2 quick-types quick-tests

quick-types:
	$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache --no-logo

quick-tests:
	$(PY) -m pytest tests/unit_tests -n 2 -q -m "not slow" $(ARGS)

check: setup ## what CI runs
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache --no-logo
	@.venv/bin/deptry .
	@local/setup/requirements.sh --check
	@$(MAKE) --no-print-directory covered
	@$(MAKE) --no-print-directory uncovered

bench: setup ## the benchmarks, as tables
	$(PY) -m pytest tests/benchmarks -s -p no:cacheprovider -o timeout=900 $(ARGS)

ratios: setup ## what paths of the app cost beside a fixed piece of work; names what became 20 % worse
	$(PY) -m tests.benchmarks.ratios $(ARGS)

compat: setup ## the clients of OpenAI's API that people use, each against the app
	$(PY) -m pytest tests/compat -s -p no:cacheprovider $(ARGS)

soak: setup ## the fault, chaos and fuzz runs at the size that the claims name
	TENANTRY_SOAK=1 $(PY) -m pytest tests -m soak -s -o timeout=3600 $(ARGS)
	test -n "$(ARGS)" || for client in fast sdk; do \
		COSMOS_CLIENT=$$client $(PY) -m pytest tests/integration_tests -n 3 --dist loadfile || exit 1; done

mutants: setup ## small faults put into the core: what share of them the unit tests notice
	PYTHONHASHSEED=0 $(PY) -m tests.mutants $(ARGS)

contract: setup ## write the contract's documents, unless that breaks somebody, and the page of settings
	$(PY) -m tests.contract
	$(PY) -m tests.deployment

client: setup ## the wheel for other programs, into dist/
	@local/setup/client.sh

release: setup ## the app, the client, the list of parts and their sums, into dist/, the same each time
	$(PY) -m infra.release $(ARGS)

format: setup
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	@local/setup/requirements.sh

clean: ## back to a fresh clone, but for .local
	rm -rf .venv .tools dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache .benchmarks
	rm -rf tests/compat/node/node_modules .coverage .coverage.* .mutants htmlcov local/azurite/node_modules tests/integration_tests/console/axe/node_modules functions/console/static/vendor shared/llm/ranks/fb* shared/llm/ranks/9b*
	find . -name __pycache__ -prune -exec rm -rf {} +
