# make install | demo [LEDGER=quorum|fabric] | test | soak | lint | bench [ONLY=group] | hfc | conformance
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test soak lint bench hfc conformance

install: .venv/installed

.venv/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: install
	$(LEDGER:%=ENERGYMARKET_LEDGER=%) $(BIN)/python manage.py demo

test: install
	$(BIN)/pytest

soak: install
	SOAK=1 $(BIN)/pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --deploy --fail-level WARNING

bench: install
	$(BIN)/python -m bench $(ONLY:%=--only %)

# The environment of the client that some benchmarks compare ours with.
hfc: .venv-hfc/installed

.venv-hfc/installed: requirements/hfc.txt
	$(PYTHON) -m venv .venv-hfc
	.venv-hfc/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $<
	touch $@

conformance: install
	$(BIN)/pytest tests/contract tests/adapters tests/conformance tests/quorum tests/fabric
