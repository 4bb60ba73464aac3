"""The published code's outputs: read from ALTA_PARITY_DIR, ALTA_DATA_DIR and ALTA_SEEDS_DIR, unknown here."""

import os
import sys
from pathlib import Path

import pytest
import torch
from conftest import SHARED
from parity.goldens import Golden, read_arrays, read_facts

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


@pytest.fixture(scope="session")
def draw_weights(seeds_dir):
    """State dicts by the rule of the seeds: of facts, and the name of the shapes in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(seeds_dir)
        patch.delitem(sys.modules, "seeded_weights", raising=False)
        from seeded_weights import draw_state

    return lambda facts, shapes: {
        name: torch.from_numpy(array) for name, array in draw_state(facts[shapes], facts["seed"]).items()
    }


@pytest.fixture(scope="session")
def read_golden(seeds_dir, data_dir, draw_weights):
    """Read one seed by the name of its folder."""
    return lambda name: Golden(seeds_dir / name, data_dir, draw_weights)


@pytest.fixture(scope="session")
def golden(parity_dir):
    return read_arrays(parity_dir)


@pytest.fixture(scope="session")
def facts(parity_dir):
    return read_facts(parity_dir)


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
