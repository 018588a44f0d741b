# `make demo` and `make test` do all set-up: they need Python 3.11 or later and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Several threads in each of several processes only get into each other's way.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo test test-long crash bench lint types format wheel clean

demo: $(STAMP)
	rm -rf runs/demo
	$(BIN)/gingham demo --out runs/demo

test: $(STAMP)
	$(TESTS) -n 2 --dist worksteal -m "not long"

test-long: $(STAMP)
	$(TESTS) -m long

# A training job killed 100 times, on one process and on two: under an hour.
crash: $(STAMP)
	$(BIN)/python -m tests.crash --processes 1
	$(BIN)/python -m tests.crash --processes 2 --steps 0

# What stands in docs/performance.md, measured anew: some hours, on a machine that does nothing else.
bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks.run --swin --out runs/bench --models runs/bench-models
	$(BIN)/python -m benchmarks.gather runs/bench --page docs/performance.md

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(STAMP)
	$(BIN)/python -m build --outdir dist

$(STAMP): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit('Gingham needs Python 3.11 or later: make PYTHON=python3.12 ...' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) dist build runs .mypy_cache .pytest_cache .ruff_cache .hypothesis
