# make run         the default study: environment, data, training, report (OUT=DIR, ARGS="options of microcalc run")
# make test        lint, types and the whole test suite
# make fast        the tests without whole studies, servers and other systems
# make docs        the documentation, as a site
# make pretrained  the committee that comes with the package, made again from scratch and compared

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
SHARED := $(wildcard ../shared/data)
export MICROCALC_DATA ?= $(if $(SHARED),$(abspath $(SHARED)))

unexport PYTHONDONTWRITEBYTECODE # or every worker and every process that a test starts compiles all tests anew

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
	$(PIP) -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

pretrained: .venv/.installed
	$(BIN)/python benchmarks/pretrained.py $(ARGS)

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) uv
	@# Without an NVIDIA GPU, PyTorch's CPU build: 1 GB less to fetch, 4 GB less on disk. Where its index is out of reach, pip's choice.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend auto -c constraints.txt torch 2>/dev/null || true
	$(PIP) -e ".[test]"
	touch $@
