# Every target works from a fresh clone: it first makes the virtual environment it runs in.
#   make test PYTHON=python3.11 VENV=.venv-3.11     another interpreter, beside the default one
#   make test PYTEST_ARGS="-k rmsnorm"              a selection
#   make demo DEMO_ARGS=--quick                     arguments of `tessera demo`

VENV ?= .venv
PYTHON ?=
PYTEST_ARGS ?=
PYTEST_MARKS ?= not slow
PYTEST_WORKERS ?= 2
DEMO_ARGS ?=
BENCH_ARGS ?=
RUN := $(VENV)/bin

.PHONY: help venv demo test test-all bench operators check format clean

help:
	@echo "make demo       run the main job; figures go to demo-output/"
	@echo "make test       fast tests"
	@echo "make test-all   every test"
	@echo "make bench      measure against plain JAX"
	@echo "make operators  write docs/operators.md from the code"
	@echo "make check      formatting, lint, types, import layers"
	@echo "make format     rewrite the code in the project's format"

venv:
	@scripts/make-venv "$(VENV)" "$(PYTHON)"

demo: venv
	$(RUN)/tessera demo $(DEMO_ARGS)

test: venv
	$(RUN)/pytest -n $(PYTEST_WORKERS) --dist worksteal -m "$(PYTEST_MARKS)" $(PYTEST_ARGS)

test-all: venv
	$(RUN)/pytest -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_ARGS)

bench: venv
	$(RUN)/python -m benchmarks $(BENCH_ARGS)

operators: venv
	$(RUN)/python scripts/write_operators.py

check: venv
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/pyright --pythonpath $(RUN)/python
	$(RUN)/lint-imports

format: venv
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo-output .pytest_cache .ruff_cache .import_linter_cache .hypothesis
