# Shortcuts; every recipe is one line that can be typed by hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test develop lint bench bench-e2e bench-video bench-jpeg bench-stages count docs ci clean

demo:
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q '.[cli]' && $(BIN)/dynres run examples/images/rocket.jpg --model qwen2-vl --out rocket.npz

test:
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q '.[test]' && $(BIN)/python -m pytest

develop:
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q maturin '.[test,lint]' && $(BIN)/maturin develop --release

lint:
	cargo fmt --check && cargo clippy --all-targets -- -D warnings && $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench:
	$(BIN)/pip install -q '.[bench,cli,torch,transformers]' torchvision && $(BIN)/python benches/whole.py

bench-e2e:
	$(BIN)/pip install -q '.[bench,cli]' && $(BIN)/python benches/end_to_end.py

bench-video:
	$(BIN)/pip install -q '.[torch,transformers]' torchvision && $(BIN)/python benches/video.py

bench-jpeg:
	$(BIN)/pip install -q '.[bench]' torchvision transformers && $(BIN)/python benches/jpeg.py --write

bench-stages:
	cargo bench --no-default-features --bench stages

count:
	cargo bench --no-default-features --bench count -- --write docs/kernels.md

docs:
	$(BIN)/pip install -q '.[docs]' && $(BIN)/mkdocs build --strict

ci:
	bash .ci/run

clean:
	rm -rf target $(VENV) site
