# Shortcuts; every recipe is one line that can be typed by hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test fast develop lint bench bench-strategies bench-e2e bench-video bench-jpeg bench-stages bench-plans count docs ci clean

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 18

demo:  ## preprocesses a photograph from the command line
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q '.[cli]' && $(BIN)/dynres run examples/images/rocket.jpg --model qwen2-vl --out rocket.npz

test:  ## installs the package and runs every test that an ordinary environment can
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q '.[test]' && $(BIN)/python -m pytest -n 2

fast:  ## the tests of a minute, in the environment of `make develop`
	$(BIN)/python -m pytest -n 2 -m "not slow"

develop:  ## a virtual environment with the package built in release mode and editable Python
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q maturin '.[test,lint]' && $(BIN)/maturin develop --release

lint:  ## formats, lints and types of both languages
	cargo fmt --check && cargo clippy --all-targets -- -D warnings && $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench:  ## whole calls beside every competitor that is installed
	$(BIN)/pip install -q '.[bench,cli,torch,transformers]' torchvision && $(BIN)/python benches/whole.py

bench-strategies:  ## every strategy beside transformers; writes docs/performance.md
	$(BIN)/pip install -q '.[torch,transformers]' torchvision && $(BIN)/python benches/strategies.py

bench-e2e:  ## from files to batches
	$(BIN)/pip install -q '.[bench,cli]' && $(BIN)/python benches/end_to_end.py

bench-video:  ## videos
	$(BIN)/pip install -q '.[torch,transformers]' torchvision && $(BIN)/python benches/video.py

bench-jpeg:  ## the decoder of JPEGs; writes docs/jpeg.md
	$(BIN)/pip install -q '.[bench]' torchvision transformers && $(BIN)/python benches/jpeg.py --write

bench-stages:  ## stages of an image's path, by backend
	cargo bench --no-default-features --bench stages

bench-plans:  ## counts and plans a second; writes docs/performance.md
	cargo bench --no-default-features --bench plans -- --write docs/performance.md

count:  ## instructions of each stage; writes docs/kernels.md
	cargo bench --no-default-features --bench count -- --write docs/kernels.md

docs:  ## the site
	$(BIN)/pip install -q '.[docs]' && $(BIN)/mkdocs build --strict

ci:  ## all of it, as CI runs it
	bash .ci/run

clean:  ## removes what was built
	rm -rf target $(VENV) site
