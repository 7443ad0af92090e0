# make run   the whole platform on embedded defaults, in the foreground
# make test  linters, types, import rules and every test
# make newcomer  in a fresh VENV: the platform without anything of the tests; starts, takes a video, plays it
# make soak  the tests that search at random or kill again and again, for an hour instead of seconds

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Many tests wait for real time to pass (a stream that runs, a lease that ends): more than there are cores, and not so
# many that what a test watches gets too little of one.
PYTEST_WORKERS ?= 3

.PHONY: run newcomer test soak ready web lint style types client-types imports clean

run: $(VENV)/.server $(VENV)/.srt
	@$(MAKE) --no-print-directory web || echo "THE PLAYER PAGE IS NOT BUILT (see above); everything else works. Try again: make web"
	$(BIN)/fastpix up

newcomer:
	@$(MAKE) --no-print-directory -j2 $(VENV)/.server web
	$(BIN)/python tests/newcomer.py

# A worker that has nothing left takes over from the end of the other's list: fixtures stay together, no long tail.
test:
	@$(MAKE) --no-print-directory -j4 ready lint
	$(BIN)/python tests/suite.py -n $(PYTEST_WORKERS) --dist worksteal

soak:
	@$(MAKE) --no-print-directory -j4 ready
	HYPOTHESIS_PROFILE=thorough SOAK_ROUNDS=20 $(BIN)/pytest --timeout 3600 tests/faults tests/unit

# Wheels, Debian packages and the players come from three places: `make -j` fetches them at the same time.
ready: $(VENV)/.test $(VENV)/.peers $(VENV)/.web $(VENV)/.compiled

# The players of the player page, pinned by web/package-lock.json; nothing is loaded from elsewhere at run time.
web: $(VENV)/.web

lint: style types client-types imports

style: | $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: | $(VENV)/.test
	$(BIN)/mypy

client-types: | $(VENV)/.test
	$(BIN)/mypy --python-version 3.10 src/fastpix

imports: | $(VENV)/.test
	$(BIN)/lint-imports

# Stamps: what they stand for is done again only when pyproject.toml changes.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fastpix needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV): about 70 packages, a minute or two ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server]'
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server,test]'
	touch $(VENV)/.server $@

$(VENV)/.web: web/package-lock.json | $(BIN)/python
	PYTHONPATH=src $(BIN)/python -m fastpix_server.edge.web_build
	touch $@

# The bytecode of the tests and of all that they import, made once instead of by each test process.
$(VENV)/.compiled: | $(VENV)/.test
	@$(BIN)/pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

# A browser, publishers and a proxy that are not ours. Where one is missing, its tests skip and say so.
$(VENV)/.peers: tests/install_peers.sh | $(BIN)/python
	@sh tests/install_peers.sh
	@touch $@

# SRT ingest needs libsrt. Without it, and without the right to install it, SRT is off and the log says so.
$(VENV)/.srt: | $(BIN)/python
	@if ldconfig -p 2>/dev/null | grep -q 'libsrt'; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libsrt1.5-gnutls >/dev/null || true; \
	else echo "libsrt is missing: SRT IS OFF. Install the package libsrt1.5-gnutls to turn it on."; fi
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
