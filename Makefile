# `make run` and `make test` do all their own set-up; the second call takes seconds.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PLAN   ?= quick

.PHONY: run test slow lint types imports smoke audit docs check bench clean

run: $(VENV)/.run  ## the quick matrix, ending in a leaderboard
	$(BIN)/unveil run $(PLAN)

# Two workers of one thread each: two threads of one torch wait for each other more than they help.
test: $(VENV)/.test  ## the default test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

slow: $(VENV)/.test  ## tests that take minutes
	$(BIN)/python -m pytest -q -m slow

bench: $(VENV)/.test  ## speed, as ratios within one run
	$(BIN)/python -m pytest -q --benchmark-only --benchmark-disable-gc -o testpaths=benchmarks

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

smoke: $(VENV)/.dev  ## build the wheel and use it from a clean environment in another folder
	$(BIN)/python tests/smoke.py

audit: $(VENV)/.dev  ## known vulnerabilities of the pinned versions, where the network allows
	$(BIN)/python tests/vulnerabilities.py

docs: $(VENV)/.dev  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint types imports smoke audit docs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=23.2'

# torch comes first and alone: with it in place no other package asks the index for a build of its own choice
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch torchvision
	$(PIP) --editable .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt $(VENV)/.run
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt $(VENV)/.test
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
