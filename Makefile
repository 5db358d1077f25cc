# make install | demo [LEDGER=quorum|fabric] | test | soak | lint | bench [ONLY=group] | conformance | hfc [HFC=folder]
# make tpm: install what speaks to a TPM as well
PYTHON ?= python3
BIN := .venv/bin
HFC ?= .venv-hfc

.PHONY: install demo test soak lint bench conformance hfc tpm

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

conformance: install
	$(BIN)/pytest tests/contract tests/adapters tests/conformance tests/quorum tests/fabric

# What asks a Fabric CA; it clashes with what we use, so it has an environment of its own.
hfc: $(HFC)/installed

$(HFC)/installed: requirements/hfc.txt
	$(PYTHON) -m venv $(HFC)
	$(HFC)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements/hfc.txt
	touch $@

# What speaks to a TPM; it is built against the libraries of tpm2-tss, which not every machine has.
tpm: .venv/tpm

.venv/tpm: .venv/installed requirements/tpm.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/tpm.txt
	touch $@
