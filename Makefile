# `make demo` and `make test` work on a fresh clone: both create .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The package under its installed name: mypy cannot follow the package-dir of setuptools.
LINKS := build/ns/motion_adapt

OLDEST := build/oldest

.PHONY: demo test soak oldest check lint types clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $(STAMP)

## a small adaptation on generated clips, with masks and MLflow records
demo: $(STAMP)
	$(BIN)/motion-adapt demo demo

## lint, types and all tests except the slow ones, in two processes
test: $(STAMP) check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

## the slow tests (200 kills, clusters, deployments, real weights), and the property tests with many more examples
soak: $(STAMP)
	MOTION_ADAPT_SOAK=1 $(BIN)/python -m pytest -m "slow or hypothesis"

## the tests with the oldest releases that pyproject.toml allows, in an environment of their own
oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct -e '.[dev]'
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: lint types

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	@rm -rf $(LINKS) && mkdir -p $(LINKS)
	@ln -s $(addprefix $(CURDIR)/,$(wildcard motion_adapt/*) flows models storage tasks) $(LINKS)/
	MYPYPATH=build/ns $(BIN)/mypy

clean:
	rm -rf $(VENV) demo motion-adapt build *.egg-info
