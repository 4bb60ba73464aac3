# Each target does all of its own set-up: Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
IMAGES := $(sort $(wildcard examples/data/*.jpg))

.PHONY: setup help demo demo-wheel demo-model test lint benchmark clean
.DEFAULT_GOAL := setup

setup: $(INSTALLED)  ## make the virtual environment in .venv with everything in it (make alone does this)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): setup.py pyproject.toml constraints.txt alta_sdk/_version.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "alta-sdk needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,train,dev]'
	touch $@

demo: $(INSTALLED)  ## export the demo model and score sample radiographs with it
	@mkdir -p build/demo
	@$(BIN)/alta-export --output build/demo.alta --overwrite
	@$(BIN)/python examples/02_write_dicom_study.py examples/data/00001299_000.jpg build/demo/study
	@echo; echo "$(words $(IMAGES)) NIH radiographs ($(notdir $(IMAGES))):"
	@$(BIN)/alta score $(IMAGES) --engine build/demo.alta --labels "pneumonia, pleural effusion, cardiomegaly"
	@echo; echo "The DICOM study:"
	@$(BIN)/alta score build/demo/study --engine build/demo.alta --labels "pneumonia, pleural effusion, cardiomegaly"

demo-wheel: $(INSTALLED)  ## build the data package of `alta demo` into dist
	@$(BIN)/python examples/demo_wheel/build.py

# What trained the demo model, in about half an hour on two cores. DATA as ../shared/data of the project's machines.
# glibc would hand every large array back to the kernel and fault it in again: without this a step takes longer.
DATA ?= ../shared/data
RUN := build/demo-model
RADIOGRAPHS := $(DATA)/nih_cxr/metadata.csv
FAST_MALLOC := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=67108864
TRAIN_ON := --workers 1 --data $(RUN)/train.csv --cache $(RUN)/cache
demo-model: $(INSTALLED)  ## train the model in examples/models anew
	@rm -rf $(RUN); mkdir -p $(RUN) examples/models
	for split in train val; do $(BIN)/python training/pair.py --radiographs $(RADIOGRAPHS) --split $$split \
		--reports $(DATA)/openi_reports/reports.csv --reports-per-radiograph 4 --no-priors --finding-sentences \
		--output $(RUN)/$$split.csv || exit 1; done
	$(FAST_MALLOC) $(BIN)/python training/pretrain.py --recipe training/recipes/demo-pretrain.toml $(TRAIN_ON) \
		--output $(RUN)/pretrained
	$(FAST_MALLOC) $(BIN)/python training/pretrain.py --recipe training/recipes/demo-read.toml $(TRAIN_ON) \
		--backbone $(RUN)/pretrained/last.safetensors --output $(RUN)/read
	$(FAST_MALLOC) $(BIN)/python training/fit.py --recipe training/recipes/demo.toml $(TRAIN_ON) \
		--backbone $(RUN)/read/last.safetensors --output $(RUN)/aligned \
		--validation $(RADIOGRAPHS) --validation-pairs $(RUN)/val.csv \
		--training-data "$$(cat training/recipes/demo-data.txt)" \
		--licence "non-commercial research only: learned from the Open-i reports, CC BY-NC-ND 4.0" \
		--notice "DEMO MODEL: small, and trained on radiographs paired with other people's reports."
	$(BIN)/python training/publish.py $(RUN)/aligned --data $(RADIOGRAPHS) --output examples/models/demo --overwrite
	$(BIN)/python benchmarks/engine_accuracy.py --data $(RADIOGRAPHS)

# Two processes of one thread each, a file of tests in one of them: most tests are too small for two threads.
# Files are dealt out in their order, which has the long ones first, and not by their number of tests.
test: $(INSTALLED)  ## run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)  ## style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: $(INSTALLED)  ## time the merged engine against eager PyTorch, and the local loss against loops
	$(BIN)/python benchmarks/published_size.py
	$(BIN)/python benchmarks/local_loss.py

clean:  ## remove what was built, the virtual environment included
	rm -rf build dist $(VENV) *.egg-info
