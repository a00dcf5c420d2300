# make demo and make test need Python >= 3.11 with its headers, a C compiler and make; everything else they set up in
# $(VENV), and again only when something changed.
#
#   make demo | test | pure | bench | bench-smoke | chart | docs
#   make wheel                        dist/oxidbm-*.whl, which installs in seconds and without a compiler
#   make integrations                 the tests with the packages that docs/integrations.md names
#   make build | quick | soak | format | lint | types | coverage | instructions | clean   for those who change it: docs/hacking.md
#   PYTHON=python3.13 VENV=.venv313   another interpreter, beside the first
#   ARGS='-k session -x'              arguments for pytest or the benchmark

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
SOAK ?= 20
REPOSITORY ?=

# Documents leave the annotations of functions and variables away.
SNIPPETS := --allow-untyped-defs --allow-untyped-calls --allow-incomplete-defs --allow-any-generics \
	--disable-error-code var-annotated

BIN := $(VENV)/bin
RUN := $(BIN)/python
# As a line in a .pth file, and not as a hook: type checkers follow no hook, and beside the clone, where its directory
# has the package's name, Python takes that directory for the package before it asks one.
EDITABLE := --no-build-isolation --config-settings editable_mode=compat

.PHONY: demo test pure bench bench-smoke chart docs wheel integrations build quick soak format lint types coverage instructions clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

demo: built-3 $(VENV)/.extra-cli,codecs
	@echo '--- demo: counting the words of the standard library, some seconds'
	$(RUN) examples/count_stdlib.py

test: built-3 $(VENV)/.extra-test
	@echo '--- test: all tests on the compiled core, three to six minutes (make quick leaves the slow ones out)'
	OXIDBM_PURE=0 OXIDBM_EXPECT=compiled $(RUN) -m pytest $(ARGS)

# The same tests, at smaller sizes, on the core's sources. Needs no compiled core.
pure: $(VENV)/.extra-test
	@echo '--- pure: the tests on the uncompiled core, some minutes'
	OXIDBM_PURE=1 OXIDBM_EXPECT=pure $(RUN) -m pytest $(ARGS)

# Beside the other tests, which leave these out where the packages are not installed: they bring some eighty others.
integrations: built-3 $(VENV)/.extra-test $(VENV)/.extra-integrations
	OXIDBM_PURE=0 OXIDBM_EXPECT=compiled $(RUN) -m pytest tests/integrations $(ARGS)

bench: built-3 $(VENV)/.extra-bench
	$(RUN) -m bench $(ARGS)

bench-smoke: built-3 $(VENV)/.extra-bench
	$(RUN) -m bench --smoke $(ARGS)

# From an edit in the core to a verdict: the quick build, then the tests that are not slow, a process for each CPU.
quick: built-0 $(VENV)/.extra-test
	OXIDBM_PURE=0 OXIDBM_EXPECT=compiled $(RUN) -m pytest -q -n auto -m 'not slow' $(ARGS)

# What depends on chance, twenty times as often: kills, power failures, failing calls, damage, the state machine. Hours.
soak: built-3 $(VENV)/.extra-test
	OXIDBM_PURE=0 OXIDBM_EXPECT=compiled OXIDBM_SOAK=$(SOAK) OXIDBM_EXAMPLES=$$(($(SOAK) * 100)) $(RUN) -m pytest -q \
		tests/crash tests/fault tests/format tests/concurrency tests/model $(ARGS)

# What the tests reach of the core's sources too, as a summary and, line by line, in build/coverage/index.html.
coverage: $(VENV)/.extra-test $(VENV)/.extra-dev
	mkdir -p build
	OXIDBM_PURE=1 OXIDBM_EXPECT=pure $(RUN) -m coverage run -m pytest -q $(ARGS)
	$(RUN) -m coverage html --quiet
	$(RUN) -m coverage report

# The tables and the chart of README.md and docs/, from the recordings in bench/recorded. Nothing is measured.
chart: $(VENV)/.base
	OXIDBM_PURE=1 $(RUN) -m bench page

# Instructions of an operation, counted by valgrind: ARGS='get\ 100 set\ 100', all where none is named.
instructions: built-3
	$(RUN) -m bench.instructions $(ARGS)

format: $(VENV)/.extra-dev
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.extra-dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .

# Examples, tests/types and the documents' snippets have to pass pyright, too, which is left out where its package
# cannot be had.
types: $(VENV)/.extra-dev $(VENV)/.extra-test $(VENV)/.pyright
	$(BIN)/mypy --strict oxidbm examples tests bench tools
	OXIDBM_PURE=1 $(RUN) -m tests.types.snippets build/snippets
	$(BIN)/mypy --strict $(SNIPPETS) build/snippets
	@if $(RUN) -c 'import basedpyright' 2> /dev/null; then \
		echo '--- pyright: examples, tests/types, build/snippets' && $(BIN)/basedpyright --pythonpath $(RUN); \
	else \
		echo '--- pyright: its package, basedpyright, is not there, so that mypy alone has looked'; \
	fi
	OXIDBM_PURE=1 $(RUN) -m mypy.stubtest oxidbm --mypy-config-file pyproject.toml --allowlist tests/stubtest_allowlist.txt --ignore-unused-allowlist

# The documentation as a site in build/site; a link that leads nowhere ends it. REPOSITORY=https://... is what it links to,
# where the clone's origin is not public. Its search needs a server: python3 -m http.server -d build/site
docs: $(VENV)/.extra-docs
	REPOSITORY='$(REPOSITORY)' $(RUN) -m tools.site
	NO_COLOR=1 $(BIN)/zensical build --strict --config-file build/zensical.toml

# From the source archive, so that nothing which lies about in build/ comes in; never uncompiled. For this Python and this
# machine's system; cibuildwheel, which pyproject.toml configures, makes those of all others.
wheel: $(VENV)/.base
	@echo '--- wheel: compiling, two to four minutes'
	rm -rf build/archive && mkdir -p build/archive
	$(RUN) setup.py -q sdist --dist-dir build/archive
	OXIDBM_PURE=0 OXIDBM_OPT=3 $(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation \
		--wheel-dir dist build/archive/*.tar.gz
	@ls -l dist/*.whl

# Compiles in place without optimizing: seconds, not a minute. Not for measuring.
build: built-0 $(VENV)/.extra-test

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(VENV)
	find oxidbm/_core -name '*.so' -delete
	find oxidbm tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The build requirements go in first, so that the package is installed without build isolation: one mypy, one cache.
$(VENV)/.base: pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'oxidbm needs Python 3.11 or later; choose one with make PYTHON=...' >&2; exit 1; }
	@echo '--- $(VENV): Python and what the build needs, from the package index, about half a minute'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		> $(VENV)/build-requires.txt
	$(BIN)/pip install -q --disable-pip-version-check -r $(VENV)/build-requires.txt
	OXIDBM_PURE=1 $(BIN)/pip install -q --disable-pip-version-check $(EDITABLE) -e .
	touch $@

$(VENV)/.extra-%: $(VENV)/.base
	@echo '--- $(VENV): the packages for [$*], from the package index, about half a minute'
	OXIDBM_PURE=1 $(BIN)/pip install -q --disable-pip-version-check $(EDITABLE) -e '.[$*]'
	touch $@

$(VENV)/.pyright: $(VENV)/.base
	-OXIDBM_PURE=1 $(BIN)/pip install -q --disable-pip-version-check $(EDITABLE) -e '.[pyright]'
	touch $@

# The installed package is this directory (editable), so compiling in place is all there is to do after an edit. setup.py
# looks by itself whether there is something to do, and each level keeps its libraries: it costs half a second if not.
built-%: $(VENV)/.base FORCE
	OXIDBM_PURE=0 OXIDBM_OPT=$* $(RUN) setup.py -q build_ext --inplace
