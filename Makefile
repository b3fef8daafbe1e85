# `make run` starts batchops, `make test` proves it. Both need Python 3.11 with venv, and make.

PYTHON ?= $(or $(shell command -v python3.11),$(shell command -v python3))
BIN := .venv/bin
ARGS ?=

# The stamps carry the content of the lock files: the same lock, nothing to install.
RUN_STAMP := .venv/run-$(shell cksum < requirements.txt | cut -d ' ' -f 1)
DEV_STAMP := .venv/dev-$(shell cksum < requirements-dev.txt | cut -d ' ' -f 1)
# The locks are complete, so pip is told to look for nothing else (--no-deps): it would stop at a
# requirement of another form or version than the one that is locked.
# requirements-dev.txt holds all of requirements.txt.
EITHER_STAMP := $(or $(wildcard $(DEV_STAMP)),$(RUN_STAMP))

.PHONY: help run test check test-postgres coverage lint format lock pictures rehearsal clean

help:
	@echo "make run     start batchops with its worker, on the sandbox when no key is set"
	@echo "make test    all checks, and the tests on SQLite and PostgreSQL"
	@echo "             make test ARGS=tests/services/mirror runs some of the tests"
	@echo "make check   lint, types and the fast tests, in about a minute"
	@echo "make test-postgres  the tests on PostgreSQL alone"
	@echo "make coverage       the tests on SQLite, with the share of the code that they reach"
	@echo "make lint    ruff and mypy"
	@echo "make format  let ruff format and fix the code"
	@echo "make lock    renew the lock files (needs uv)"
	@echo "make pictures  renew the pictures of the documents (needs Chromium)"
	@echo "make rehearsal  what deploy/ describes, on this machine, with its parts killed and upgraded"
	@echo "make clean   remove the environment and what was built; data in var/ stays"

run: $(EITHER_STAMP)
	@$(BIN)/python manage.py start $(ARGS)

test: $(DEV_STAMP)
	@$(BIN)/python -m tools.quality $(ARGS)

check: lint
	$(BIN)/pytest -q -n auto tests/syllable tests/services/changes tests/deployment/test_packages.py tests/deployment/test_documents.py

test-postgres: $(DEV_STAMP)
	@$(BIN)/python -m tools.postgres $(BIN)/pytest -q -n auto --dist loadgroup -m "not browser and not once" $(or $(ARGS),tests)

coverage: $(DEV_STAMP)
	$(BIN)/pytest -q -n auto --dist loadgroup --cov --cov-report=term --cov-fail-under=97 $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK := uv pip compile --quiet --generate-hashes --universal --no-strip-extras --no-emit-index-url --no-header --python-version 3.11

lock:
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -c requirements.txt -o requirements-dev.txt

pictures: $(DEV_STAMP)
	$(BIN)/python -m tools.pictures

rehearsal: $(DEV_STAMP)
	$(BIN)/python -m tools.rehearsal $(ARGS)

clean:
	rm -rf .venv staticfiles test-results var/test-results htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(RUN_STAMP): LOCK_FILE := requirements.txt
$(DEV_STAMP): LOCK_FILE := requirements-dev.txt
$(RUN_STAMP) $(DEV_STAMP):
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "batchops needs Python 3.11 or later with its venv module; set PYTHON=/path/to/python3.11." >&2; exit 1; }
	@echo "Installing $(LOCK_FILE) into .venv; the first time this takes a minute or two."
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(LOCK_FILE)
	@touch $@
