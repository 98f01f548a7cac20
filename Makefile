# Everything for a fresh machine with Python 3.11+ and git. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# command:package of what the tests need besides Python: speech, a real browser, a real Prometheus
DEBIAN := espeak-ng:espeak-ng chromium:chromium promtool:prometheus turnserver:coturn
# Tests at the same time: most wait for sound or a browser longer than they compute, so three fill two cores
WORKERS ?= 3

.PHONY: help install serve demo test check bench bench-parts debian

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

install: $(VENV)/.installed ## the virtual environment with the locked dependencies

serve: install ## the server, with the embedded providers: no keys needed
	$(BIN)/parley serve

demo: install ## a server, a call to it, its transcript and latency
	$(BIN)/parley demo

debian: ## what the tests need besides Python
	@missing=""; for each in $(DEBIAN); do \
	  command -v $${each%%:*} >/dev/null || missing="$$missing $${each##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "install these Debian packages first:$$missing" >&2; exit 1; fi; fi

# Browsers, and calls in real time, need their share of a machine that others use too: a test of theirs that fails is
# tried once more, and named
test: install debian ## all tests, the slow ones too
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not e2e" -rR
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m e2e --reruns 1 -rR

check: install ## format, lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## a speed table against its targets, four minutes on a quiet machine; out/bench.json has it all
	$(BIN)/python -m bench.calls --repeat 3 --seconds 15 --json out/bench.json

bench-parts: install ## figures of the parts: hearing, message codecs, sockets
	$(BIN)/python -m bench.hearing
	$(BIN)/python -m bench.twilio_media
	$(BIN)/python -m bench.websocket
