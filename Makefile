# make run         the default study: environment, data, training, report (OUT=DIR, ARGS="options of microcalc run")
# make test        lint, types and the whole test suite
# make fast        the tests without whole studies, servers and other systems
# make docs        the documentation, as a site
# make pretrained  the committee that comes with the package, made again from scratch and compared

PYTHON ?= python3
BIN := .venv/bin
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
SHARED := $(wildcard ../shared/data)
export MICROCALC_DATA ?= $(if $(SHARED),$(abspath $(SHARED)))

.PHONY: run test fast docs pretrained

run: .venv/.installed
	$(BIN)/microcalc run --out "$(OUT)" $(ARGS)

test: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder --durations=15 $(ARGS)

fast: .venv/.installed
	$(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

pretrained: .venv/.installed
	$(BIN)/python benchmarks/pretrained.py $(ARGS)

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@
