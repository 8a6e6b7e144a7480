# One line each: `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
HOST   ?= 127.0.0.1
PORT   ?= 8765

.PHONY: install serve test lint bench docs dist format clean help
.DEFAULT_GOAL := help

help:      ## List the targets
	@grep -E '^[a-z]+: *.*##' Makefile | sed 's/:.*##/\t/'

install: $(STAMP)  ## Install the core, every extension and the test tools into .venv

# What is compiled in place is built again when a source or its types change.
FAST := $(wildcard wsext/*/*.pxd wsext/*/*.pyx) $(patsubst %.pxd,%.py,$(wildcard wsext/*/*.pxd))

$(STAMP): pyproject.toml setup.py requirements/dev.txt $(wildcard extensions/*/pyproject.toml) $(FAST)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $(STAMP)

serve: $(STAMP)    ## Run the reference server on 127.0.0.1:8765
	$(BIN)/wsext serve --host $(HOST) --port $(PORT)

test: $(STAMP)     ## Run the whole test suite
	$(BIN)/python -m pytest -n auto

lint: $(STAMP)     ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)    ## Measure beside other libraries: make bench ARGS="--quick --write"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt || \
		sed '/^#/d' benchmarks/requirements.txt | xargs -n 1 $(BIN)/python -m pip install --quiet || true
	$(BIN)/python benchmarks/run.py $(ARGS)

docs: $(STAMP)     ## Build the documentation into site/; warnings are errors
	$(BIN)/python docs/build_api.py
	$(BIN)/python docs/build_life.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

dist: $(STAMP)     ## Build every distribution into dist/ and check it
	for project in . extensions/*/; do \
		test ! -f $$project/pyproject.toml || $(BIN)/python -m build --outdir dist $$project || exit 1; done
	$(BIN)/python -m twine check --strict dist/*

format: $(STAMP)   ## Put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:             ## Remove what was built
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache *.egg-info extensions/*/dist
	find wsext -name "*.so" -delete
