# Commands of the project. `make demo` and `make test` do all their own set-up; a second run starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP = CPATH="$$(cat $(VENV)/cpath 2>/dev/null)" $(BIN)/python -m pip
SOURCES := pyproject.toml setup.py $(wildcard ext/*)
DEMO_SECONDS ?= 20
DEMO_VIEW ?= 127.0.0.1:0
CLOUD_SECONDS ?= 60
CLOUD_SOURCES ?= demo: demo:
CLOUD_PAGE ?= 127.0.0.1:8090
DEPLOY ?=
BASE ?= HEAD
PYTEST_ARGS ?= --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: demo cloud-demo deploy test bench duel lint docs wheel release clean help

help:
	@echo "make demo   set up, then find faces in the demo stream for $(DEMO_SECONDS) s, with a live page"
	@echo "make cloud-demo  set up, then run two cameras, local AWS, functions and dashboard page for $(CLOUD_SECONDS) s"
	@echo "make deploy      set up, then put the cloud stage into your AWS account: DEPLOY='--region eu-central-1'"
	@echo "make test   set up, then run all tests"
	@echo "make bench  set up, then run all benchmarks and write a report to out/bench"
	@echo "make duel   set up, then tell whether this tree is slower than another build: BASE=v0.1.0, or a wheel"
	@echo "make lint   ruff, mypy --strict, import-linter"
	@echo "make docs   the pages of docs/ and an API reference as a site, in out/site"
	@echo "make release  source distribution, wheels, bill of materials and hashes in dist/, checked, not uploaded"

demo: $(VENV)/demo.stamp
	@$(BIN)/saccade --quiet models pull demo
	@mkdir -p out/demo
	@$(BIN)/saccade run faces --source demo: --seconds $(DEMO_SECONDS) --view $(DEMO_VIEW) \
		--out out/demo --pictures 5 --events out/demo/events.jsonl
	@echo "face crops, annotated pictures and events are in out/demo"

cloud-demo: $(VENV)/cloud.stamp
	@$(BIN)/saccade models pull demo
	@$(BIN)/saccade cloud local $(CLOUD_SOURCES:%=--source %) --seconds $(CLOUD_SECONDS) --page $(CLOUD_PAGE)

deploy: $(VENV)/cloud.stamp
	@$(BIN)/saccade cloud deploy $(DEPLOY)

test: $(VENV)/test.stamp
	@sh .ci/parts.sh
	@$(BIN)/saccade --quiet models pull demo dog-or-cat efficientnet-lite0
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(VENV)/test.stamp
	@$(BIN)/saccade --quiet models pull demo
	$(BIN)/python -m bench --out out/bench

duel: $(VENV)/test.stamp
	$(BIN)/python -m bench.duel $(BASE) .

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp
	$(BIN)/zensical build --clean --strict

release: $(BIN)/python
	@PYTHON="$(PYTHON)" sh .ci/release.sh dist

wheel: $(BIN)/python
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

$(BIN)/python:
	@sh .ci/venv.sh "$(PYTHON)" $(VENV)

$(VENV)/demo.stamp: $(BIN)/python $(SOURCES)
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/cloud.stamp: $(BIN)/python $(SOURCES)
	@$(PIP) install --quiet --editable '.[cloud-local]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/test.stamp: $(BIN)/python $(SOURCES)
	@$(PIP) install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo.stamp

$(VENV)/lint.stamp: $(BIN)/python $(SOURCES)
	@$(PIP) install --quiet --editable '.[test,lint]'
	@touch $@ $(VENV)/test.stamp $(VENV)/demo.stamp

$(VENV)/docs.stamp: $(BIN)/python pyproject.toml
	@$(PIP) install --quiet --group docs
	@touch $@

clean:
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache
	rm -f engine/saccade/kernels/*.so
