"""The baselines that a model is held against, and the backbone without its adapters."""

import numpy as np
import pytest
import torch
from PIL import Image

from alta_training.adapters import Adapter, leave_out_adapters
from alta_training.data.labelled import LabelledRadiograph
from alta_training.evaluation.baselines import evaluate_baseline, evaluate_frozen
from alta_training.evaluation.encoders import open_encoder


@pytest.fixture
def radiographs(tmp_path):
    """120 noisy radiographs, of which every second is brighter in its upper half."""
    rng = np.random.default_rng(2)
    made = []
    for number in range(120):
        pixels = rng.integers(0, 120, (48, 48), dtype=np.uint8)
        pixels[:24] += 100 * (number % 2)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        view = "PA" if number % 3 else "AP"
        made.append(LabelledRadiograph(tmp_path / f"{number}.png", str(number), view, bool(number % 2)))
    return made


def test_the_baseline_learns_what_pixels_show(radiographs):
    figures = evaluate_baseline(radiographs[:90], radiographs[90:])
    assert figures["auc"] > 0.99
    assert {"auc_AP", "auc_PA", "auc_view_alone"} <= figures.keys()


def test_frozen_features_are_read_from_a_checkpoint_and_tell_what_the_backbone_sees(checkpoint_folder, radiographs):
    encoder = open_encoder(checkpoint_folder / "model.safetensors")
    figures = evaluate_frozen(encoder, radiographs[:90], radiographs[90:])
    assert figures["protocol"] == "frozen features"
    assert figures["auc"] > 0.95
    assert (figures["radiographs"], figures["patients"]) == (30, 30)


def test_frozen_features_do_not_depend_on_the_adapters(checkpoint_folder, radiographs):
    encoder = open_encoder(checkpoint_folder / "model.safetensors")
    paths = [radiograph.path for radiograph in radiographs[:3]]
    before, embedded = encoder.embed_frozen(paths), encoder.embed_radiographs(paths)
    assert before.shape == (3, 64)
    with torch.no_grad():
        for adapter in encoder._model.image.modules():
            for parameter in adapter.parameters() if isinstance(adapter, Adapter) else ():
                parameter.add_(1.0)
    np.testing.assert_array_equal(encoder.embed_frozen(paths), before)
    assert np.abs(encoder.embed_radiographs(paths) - embedded).max() > 1e-3


def test_left_out_adapters_are_as_new_ones_and_come_back(checkpoint_folder):
    tower = open_encoder(checkpoint_folder / "model.safetensors")._model.image
    pixels, slot = torch.rand(2, 3, 224, 224), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        trained = tower(pixels, slot)
        with leave_out_adapters(tower):
            without = tower(pixels, slot)
        assert torch.equal(tower(pixels, slot), trained)
        for module in tower.modules():
            if isinstance(module, Adapter):
                module.start()
        assert torch.equal(tower(pixels, slot), without)
    assert not torch.equal(without, trained)
