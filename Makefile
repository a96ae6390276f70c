# `make train` and `make test` set themselves up in .venv; nothing but Python 3.11+ and make is needed.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto  # a process per core, with one thread each

.PHONY: train test slow lint bench clean

train: .venv/ready
	$(BIN)/inachus train dcgan --data digits --steps 4000 --set lr=5e-4

test: .venv/ready lint
	$(PYTEST) --dist loadfile -m "not slow"

slow: .venv/ready
	$(PYTEST) --dist worksteal -m slow

lint: .venv/ready
	$(BIN)/ruff check .

bench: .venv/ready
	$(BIN)/python bench/train.py

clean:
	rm -rf .venv build dist *.egg-info kernels/cpu/__pycache__

.venv/ready: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Inachus needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@
