"""The published code's outputs: read from ALTA_PARITY_DIR, ALTA_DATA_DIR and ALTA_SEEDS_DIR, unknown here."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHARED

from alta_training.families.checkpoint import load_model, read_checkpoint, read_text_model
from alta_training.model.alta import to_model_input

PARITY_DIR = Path(os.environ.get("ALTA_PARITY_DIR", SHARED / "parity"))
SEEDS_DIR = Path(os.environ.get("ALTA_SEEDS_DIR", SHARED / "seeds"))


@pytest.fixture(scope="session")
def parity_dir():
    if not PARITY_DIR.is_dir():
        pytest.skip("shared data absent: ALTA_PARITY_DIR")
    return PARITY_DIR


@pytest.fixture(scope="session")
def seeds_dir():
    if not SEEDS_DIR.is_dir():
        pytest.skip("shared data absent: ALTA_SEEDS_DIR")
    return SEEDS_DIR


class Golden:
    """Arrays and facts of one seed, where its radiographs are, and weights by its rule."""

    def __init__(self, seeds_dir, data_dir, name):
        self.folder = seeds_dir / name
        self._seeds_dir, self._images = seeds_dir, data_dir / "nih_cxr" / "images"
        with np.load(self.folder / "golden.npz") as arrays:
            self.arrays = dict(arrays)
        self.facts = json.loads((self.folder / "golden.json").read_text(encoding="utf-8"))

    @property
    def paths(self):
        """Those that golden.json names, then pictures that lie beside it."""
        return [*(self._images / name for name in self.facts["images"]), *sorted(self.folder.glob("*.png"))]

    def save_weights(self, shapes, path):
        """Write the state dict that the rule makes of the shapes of one model."""
        sys.path.insert(0, str(self._seeds_dir))
        sys.modules.pop("seeded_weights", None)
        try:
            from seeded_weights import draw_state
        finally:
            sys.path.remove(str(self._seeds_dir))
        drawn = draw_state(self.facts[shapes], self.facts["seed"])
        torch.save({name: torch.from_numpy(array) for name, array in drawn.items()}, path)
        return path


@pytest.fixture(scope="session")
def read_golden(seeds_dir, data_dir):
    """Read one seed by the name of its folder."""
    return lambda name: Golden(seeds_dir, data_dir, name)


@pytest.fixture(scope="session")
def golden(parity_dir):
    with np.load(parity_dir / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def facts(parity_dir):
    return json.loads((parity_dir / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def text_model_dir(parity_dir):
    return next(path.parent for path in parity_dir.glob("*/config.json"))


@pytest.fixture(scope="session")
def published(parity_dir, text_model_dir):
    """The towers with the published checkpoint in them."""
    return load_model(read_checkpoint(parity_dir / "ALTA.pth"), read_text_model(text_model_dir))


@pytest.fixture(scope="session")
def pixels(golden):
    return to_model_input(torch.from_numpy(golden["pixels_u8"]))


@pytest.fixture(scope="session")
def image_paths(data_dir, facts):
    return [data_dir / "nih_cxr" / "images" / name for name in facts["images"]]


@pytest.fixture(scope="session")
def dicom_path(data_dir, facts):
    return data_dir / "dicom" / facts["dicom"]
