# make run   the whole platform on embedded defaults, in the foreground
# make test  linters, types, import rules and every test

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2

.PHONY: run test web lint clean

run: $(VENV)/.server
	@$(MAKE) --no-print-directory web || echo "THE PLAYER PAGE IS NOT BUILT (see above); everything else works. Try again: make web"
	$(BIN)/fastpix up

test: $(VENV)/.test $(VENV)/.chromium $(VENV)/.nginx web lint
	$(BIN)/pytest -n $(PYTEST_WORKERS)

# The players of the player page, pinned by web/package-lock.json; nothing is loaded from elsewhere at run time.
web: $(VENV)/.web

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Stamps: what they stand for is done again only when pyproject.toml changes.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fastpix needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server]'
	touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.server
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server,test]'
	touch $@

$(VENV)/.web: web/package-lock.json | $(VENV)/.server
	$(BIN)/python -m fastpix_server.edge.web_build
	touch $@

# Browser tests need Chromium. Without it, and without the right to install it, they skip and say so.
$(VENV)/.chromium: | $(BIN)/python
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "Chromium is missing: BROWSER TESTS WILL BE SKIPPED. Install the package chromium to run them."; fi
	@touch $@

# The CDN recipe of docs/guide/cdn.md is tested with a real nginx; without it the test skips and says so.
$(VENV)/.nginx: | $(BIN)/python
	@if command -v nginx >/dev/null && ls /usr/lib/nginx/modules/ngx_http_js_module.so >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx libnginx-mod-http-js >/dev/null; \
	else echo "nginx is missing: THE CDN RECIPE WILL NOT BE TESTED. Install nginx and libnginx-mod-http-js."; fi
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
