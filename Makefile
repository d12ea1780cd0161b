# Everything runs inside .venv, which is made from requirements.lock when missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DVC_NO_ANALYTICS := 1

.PHONY: demo test exact lint clean

demo: $(VENV)/.ready
	$(BIN)/repro demo

test exact: export OMP_NUM_THREADS := 1
test: CHOSEN := not exact
exact: CHOSEN := exact
test exact: $(VENV)/.ready
	$(BIN)/repro data fetch --quiet
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "$(CHOSEN)" tests

lint: $(VENV)/.ready
	$(BIN)/ruff check .

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "installing the locked requirements into $(VENV) (two to four minutes)"
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) .repro .pytest_cache .ruff_cache
