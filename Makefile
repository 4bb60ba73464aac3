# Each target does all of its own set-up: Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
IMAGES := $(sort $(wildcard examples/data/*.jpg))

.PHONY: demo test lint benchmark clean

$(INSTALLED): setup.py pyproject.toml constraints.txt alta_sdk/_version.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "alta-sdk needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,train,dev]'
	touch $@

demo: $(INSTALLED)  ## export a small engine and score sample radiographs with it
	@mkdir -p build/demo
	@$(BIN)/python examples/01_make_demo_checkpoint.py build/demo
	@$(BIN)/alta-export --checkpoint build/demo/demo.safetensors --text-model build/demo/text-model \
		--output build/demo.alta --overwrite
	@$(BIN)/python examples/02_write_dicom_study.py examples/data/00001299_000.jpg build/demo/study
	@echo; echo "$(words $(IMAGES)) NIH radiographs ($(notdir $(IMAGES))):"
	@$(BIN)/alta score $(IMAGES) --engine build/demo.alta --labels "pneumonia, pleural effusion, cardiomegaly"
	@echo; echo "The DICOM study:"
	@$(BIN)/alta score build/demo/study --engine build/demo.alta --labels "pneumonia, pleural effusion, cardiomegaly"

test: $(INSTALLED)  ## run every test
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(INSTALLED)  ## time the merged engine against eager PyTorch at the published size
	$(BIN)/python benchmarks/published_size.py

clean:  ## remove what was built, the virtual environment included
	rm -rf build dist $(VENV) *.egg-info
