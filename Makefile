# Two commands do everything: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo test clean

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(p) 2>/dev/null),$(p))))
RUN ?= sample
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin

help:
	@echo "make demo   compute influence on the embedded sample, then open the dashboard"
	@echo "            (PORT=8501; RUN=sample, sample-large, a TOML file, or the folder of a run)"
	@echo "make test   lint, types, unit, page and browser tests"
	@echo "make clean  remove what these made: $(VENV), runs/sample"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; none was found."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older; try make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	@touch $@

# kronfluence names torchvision among its needs, which must not be installed (see the README), so it comes without its own list.
$(VENV)/.installed-tests: tests/requirements.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps kronfluence==1.0.1
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/python -m engine run "$(RUN)"
	@WHENCE_RUN="$(RUN)" $(BIN)/streamlit run dashboard/app.py --server.port $(PORT)

# No test needs the hub of models: a name that is nowhere is refused at once, not after its retries.
# worksteal keeps the order of tests, and names the test in which a process died; loadgroup hung then (xdist 3.8).
# One thread each: two processes of two threads on two cores wait for one another.
test: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

clean:
	rm -rf $(VENV) runs/sample
