# One line each: `make help` lists the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SERVED := $(VENV)/.served
HOST   ?= 127.0.0.1
PORT   ?= 8765
TOOLS  := build/tools
PROGRAMS := build/programs/.tried
# Many tests wait, for processes and for time, so more of them run at once than there are cores.
JOBS   ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')
# Which tests `make lowest` runs; without any it takes all that need no other library's peers.
LOWEST ?=
# The time in what is built is that of the commit, so that who builds it again gets the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
# Hundreds of tests start processes. Without bytecode each of them compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install tools serve test lint bench bench-growth docs dist lowest matrix audit format clean help
.DEFAULT_GOAL := help

help:      ## List the targets
	@grep -E '^[a-z-]+: *.*##' Makefile | sed 's/:.*##/\t/'

install: $(STAMP)  ## Install the core, every extension and the test tools into .venv

# What is compiled in place is built again when a source or its types change.
FAST := $(wildcard wsext/*/*.pxd wsext/*/*.pyx) $(patsubst %.pxd,%.py,$(wildcard wsext/*/*.pxd))

$(STAMP): pyproject.toml setup.py requirements/dev.txt $(wildcard extensions/*/pyproject.toml) $(FAST)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $(STAMP)

# To serve takes half a minute: without the test tools, and nothing is compiled.
$(SERVED): requirements/serve.txt pyproject.toml $(wildcard extensions/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -e $(STAMP) || WSEXT_BUILD_CODEC=no $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check -r requirements/serve.txt
	@touch $(SERVED)

$(TOOLS): requirements/supply.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/supply.txt
	@touch $(TOOLS)

$(PROGRAMS): tests/tools.py | $(STAMP)
	$(BIN)/python -m tests.tools
	@mkdir -p $(@D) && touch $@

tools: $(STAMP)    ## Bring what some tests need: brokers, a browser, Wireshark; may ask for a password
	$(BIN)/python -m tests.tools --ask

serve: $(SERVED)   ## Run the reference server on 127.0.0.1:8765
	$(BIN)/wsext serve --host $(HOST) --port $(PORT)

test: $(STAMP) $(PROGRAMS)  ## Run the whole test suite
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: $(STAMP)     ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)    ## Measure beside other libraries: make bench ARGS="--quick --write"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt || \
		sed '/^#/d' benchmarks/requirements.txt | xargs -n 1 $(BIN)/python -m pip install --quiet || true
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-growth: $(STAMP)  ## Measure how the cost grows: make bench-growth ARGS="--write"
	$(BIN)/python benchmarks/growth.py $(ARGS)

docs: $(STAMP)     ## Build the documentation into site/; warnings are errors
	$(BIN)/python docs/build_api.py
	$(BIN)/python docs/build_life.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

dist: $(TOOLS)     ## Build every distribution into dist/, with an SBOM, and check it
	rm -rf dist
	for project in . extensions/*/; do \
		test ! -f $$project/pyproject.toml || $(TOOLS)/bin/python -m build --outdir dist $$project || exit 1; done
	$(TOOLS)/bin/python -m twine check --strict dist/*.whl dist/*.tar.gz
	rm -rf build/installed && $(PYTHON) -m venv --without-pip build/installed
	$(TOOLS)/bin/uv pip install --quiet --python build/installed/bin/python \
		"wsext[http2,nats,proxy,redis,yaml] @ file://$$(echo $(CURDIR)/dist/wsext-*.whl)"
	$(TOOLS)/bin/cyclonedx-py environment build/installed --pyproject pyproject.toml \
		--mc-type library --output-reproducible --of JSON -o dist/wsext.cdx.json

lowest: $(TOOLS)   ## Test the core with the lowest versions that pyproject.toml allows
	$(TOOLS)/bin/python .ci/matrix.py --jobs $(JOBS) --lowest $(LOWEST)

matrix: $(TOOLS) $(PROGRAMS)  ## Test on every Python that is found, with the newest and the lowest versions
	$(TOOLS)/bin/python .ci/matrix.py --jobs $(JOBS) $(ARGS)

audit: $(TOOLS)    ## Look for known vulnerabilities in what CI used
	$(TOOLS)/bin/python .ci/audit.py

format: $(STAMP)   ## Put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:             ## Remove what was built
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache *.egg-info extensions/*/dist
	find wsext -name "*.so" -delete
