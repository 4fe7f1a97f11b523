# `make app` sets up everything and opens the app; `make test` sets up everything and runs every test.

VENV = .venv
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(if $(shell \
	$(p) -c 'import sys; print(1 if (3,11) <= sys.version_info < (3,14) else "")' 2>/dev/null),$(p))))
RUN = $(VENV)/bin/python -m
# With a screen, Streamlit opens the browser; without one it prints the address.
SCREEN = $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Darwin,$(shell uname)))
HEADLESS = $(if $(SCREEN),false,true)

.PHONY: app test check lint format docs timings screenshot clean

app: $(VENV)/app.stamp
	$(RUN) streamlit run app.py --server.headless $(HEADLESS) --server.showEmailPrompt false

test: $(VENV)/dev.stamp
	@$(RUN) tests.browser.chromium
	@$(MAKE) --no-print-directory -j 2 lint check

check: $(VENV)/dev.stamp
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/dev.stamp
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

format: $(VENV)/dev.stamp
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

docs: $(VENV)/app.stamp  ## everything in docs/ and README.md that comes from the program
	$(RUN) docs.generate

screenshot: $(VENV)/dev.stamp  ## docs/screenshot.png
	$(RUN) tests.browser.screenshot

timings: $(VENV)/dev.stamp  ## how fast the app starts and changes pages, in Chromium
	$(RUN) tests.browser.timings

clean:  ## the environment and what tools left; never runs, models or data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis screenshots
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# Without --no-compile, pip compiles every module, also those that nothing imports: half the time of an installation.
# Each is compiled when it is first imported, and kept, also where the environment, as in many containers, says not to:
# else every process compiles TensorFlow again, 17 seconds of a core in place of 6.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = $(RUN) pip install --disable-pip-version-check --no-compile -q

# A stamp is as new as the requirements that were last installed, so a second `make app` starts at once.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Plumage needs Python 3.11, 3.12 or 3.13: install one, or name it with make PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy python3-venv; \
	else echo "Python's venv module is missing: install it (Debian: sudo apt-get install python3-venv)." >&2; exit 1; fi
	rm -f $(VENV)/bin/python* $(VENV)/*.stamp
	$(PYTHON) -m venv $(VENV) || { rm -f $(VENV)/bin/python; exit 1; }

$(VENV)/app.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what Plumage needs into $(VENV), once: a few minutes ..."
	$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/app.stamp
	@echo "Installing the developers' tools ..."
	$(INSTALL) -r requirements-dev.txt
	@touch $@
