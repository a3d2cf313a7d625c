# make run    runs the default study: environment, data, training, report
# make test   lint, types and the whole test suite
# make docs, make pretrained, make bench: see CONTRIBUTING.md

PYTHON ?= python3
BIN := .venv/bin
OUT ?= runs/first
SHARED := $(wildcard ../shared/data)
export MICROCALC_DATA ?= $(if $(SHARED),$(abspath $(SHARED)))

.PHONY: run test fast docs

run: .venv/.installed
	$(BIN)/microcalc run --out $(OUT) $(ARGS)

test: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q --durations=15 $(ARGS)

fast: .venv/.installed
	$(BIN)/python -m pytest -q -m "not slow" $(ARGS)

docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@
