# make run starts the demo cell; make help lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
export PYTHON
unexport PYTHONPATH
PY := .venv/bin/python -P
UV ?= uv
# More arguments for pytest: make test ARGS="-k codec -x"
ARGS ?=
# Programs of the system that tests marked `full` use: a real control (procps and psmisc are what its own script calls), a browser
FULL_PACKAGES := linuxcnc-uspace procps psmisc chromium
INSTALL = DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(FULL_PACKAGES)

.PHONY: help setup setup-dev dashboard run test test-full check bench bench-detect soak lock test-clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## .venv with what `rise` needs; free when nothing changed
	@.ci/setup run

setup-dev: ## the same, with what tests and checks need
	@.ci/setup dev

dashboard: setup ## the operators' page, web/dashboard/dist; free when nothing changed
	@.ci/dashboard

run: setup ## the demo cell: two simulated mills; Ctrl-C ends it
	@.ci/dashboard once || true
	@exec .venv/bin/rise launch launch/cell.py

test: setup-dev ## unit tests and tests with real processes
	@$(PY) -m pytest $(ARGS)

test-full: setup-dev ## every test, also those that need programs of the system; a skip is a failure
ifneq ($(strip $(FULL_PACKAGES)),)
	@dpkg -s $(FULL_PACKAGES) >/dev/null 2>&1 || $(INSTALL) || { apt-get update && $(INSTALL); }
endif
	@.ci/dashboard
	@$(PY) -m pytest --full --durations=25 $(ARGS)

check: setup-dev ## ruff, mypy --strict, import contracts; svelte-check where the page was built
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@[ ! -e web/dashboard/node_modules ] || .ci/dashboard check

bench: setup-dev ## the measured numbers, each beside raw pyzmq; no other load, please
	@$(PY) -m tests.benchmarks $(ARGS)

bench-detect: setup-dev ## crashes found, false stops, mm after the touch, per sensor preset; ARGS="--tenth" for a tenth
	@$(PY) -m tests.benchmarks.detect $(ARGS)

soak: setup-dev ## hours: DURABLE under kills -9, a day of the cell, the page left open, every parser fuzzed; ARGS="fuzz codec" for some
	@$(PY) -m tests.soak $(ARGS)

# No header and no annotation: neither an index address nor a machine's path may stand in a lock
COMPILE = $(UV) pip compile -q $(UPGRADE) --universal --generate-hashes --no-header --no-annotate pyproject.toml --extra build
lock: ## write both lock files (needs uv); UPGRADE=--upgrade takes the newest of everything
	@$(COMPILE) -o requirements.lock
	@$(COMPILE) --extra dev --extra parquet -c requirements.lock -o requirements-dev.lock

test-clean: ## clone, make run and make test in a bare Debian 12 (needs root: debootstrap)
	@.ci/test-clean
