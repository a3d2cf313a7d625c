# make run         the default study: environment, data, training, report (OUT=DIR, ARGS="options of microcalc run")
# make test        lint, types and the whole test suite
# make lint        lint and types alone
# make fast        the tests without whole studies, servers and other systems
# make docs        the documentation, as a site
# make pretrained  the committee that comes with the package, made again from scratch and compared

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)
SHARED := $(wildcard ../shared/data)
export MICROCALC_DATA ?= $(if $(SHARED),$(abspath $(SHARED)))

unexport PYTHONDONTWRITEBYTECODE # or every worker and every process that a test starts compiles all tests anew

.PHONY: run test lint fast docs pretrained

run: .venv/.installed
	$(BIN)/microcalc run --out "$(OUT)" $(ARGS)

test: lint
	$(PYTEST) --durations=15 $(ARGS)

lint: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fast: .venv/.installed
	$(PYTEST) -m "not slow" $(ARGS)

docs: .venv/.installed
	$(PIP) -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo build/site/index.html

pretrained: .venv/.installed
	$(BIN)/python benchmarks/pretrained.py $(ARGS)

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Fetching PyTorch and the rest, 1.5 to 6 GB: some minutes, without a progress bar."
	$(PIP) uv
	@# Without an NVIDIA GPU, PyTorch's CPU build: 1 GB less to fetch, 4 GB less on disk.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend auto -c constraints.txt torch \
		|| echo "uv could not fetch PyTorch from its own index; pip now chooses the build (on Linux with CUDA, 4 GB more)"
	$(PIP) -e ".[test]"
	touch $@
