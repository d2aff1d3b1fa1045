# Commands of the project. `make demo` and `make test` do all their own set-up; a second run starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP = CPATH="$$(cat $(VENV)/cpath 2>/dev/null)" $(BIN)/python -m pip
SOURCES := pyproject.toml setup.py $(wildcard ext/*)
DEMO_SECONDS ?= 20
DEMO_VIEW ?= 127.0.0.1:0

.PHONY: demo test bench lint wheel clean help

help:
	@echo "make demo   set up, then find faces in the demo stream for $(DEMO_SECONDS) s, with a live page"
	@echo "make test   set up, then run all tests"
	@echo "make bench  set up, then run all benchmarks and write a report to out/bench"
	@echo "make lint   ruff, mypy --strict, import-linter"

demo: $(VENV)/demo.stamp
	@$(BIN)/saccade --quiet models pull demo
	@mkdir -p out/demo
	@$(BIN)/saccade run faces --source demo: --seconds $(DEMO_SECONDS) --view $(DEMO_VIEW) \
		--out out/demo --pictures 5 --events out/demo/events.jsonl
	@echo "face crops, annotated pictures and events are in out/demo"

test: $(VENV)/test.stamp
	@sh .ci/parts.sh
	@$(BIN)/saccade --quiet models pull demo
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(VENV)/test.stamp
	@$(BIN)/saccade --quiet models pull demo
	$(BIN)/python -m bench --out out/bench

lint: $(VENV)/test.stamp $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(BIN)/python
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

$(BIN)/python:
	@sh .ci/venv.sh "$(PYTHON)" $(VENV)

$(VENV)/demo.stamp: $(BIN)/python $(SOURCES)
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/test.stamp: $(BIN)/python $(SOURCES)
	@$(PIP) install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/lint.stamp: $(BIN)/python pyproject.toml
	@$(PIP) install --quiet '.[lint]' --editable .
	@touch $@

clean:
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache
	rm -f engine/saccade/kernels/*.so
