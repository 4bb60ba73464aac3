"""The published code's outputs as they lie in a folder: golden.npz, golden.json, and pictures beside them."""

import json

import numpy as np
import torch


def read_arrays(folder):
    with np.load(folder / "golden.npz") as arrays:
        return dict(arrays)


def read_facts(folder):
    return json.loads((folder / "golden.json").read_text(encoding="utf-8"))


class Golden:
    """Arrays and facts of one seed, where its radiographs are, and weights by its rule."""

    def __init__(self, folder, data_dir, draw_weights):
        self.folder, self.arrays, self.facts = folder, read_arrays(folder), read_facts(folder)
        self._images, self._draw_weights = data_dir / "nih_cxr" / "images", draw_weights

    @property
    def paths(self):
        """Those that golden.json names, then pictures that lie beside it."""
        return [*(self._images / name for name in self.facts["images"]), *sorted(self.folder.glob("*.png"))]

    def save_weights(self, shapes, path):
        """Write the state dict that the rule makes of the shapes of one model."""
        torch.save(self._draw_weights(self.facts, shapes), path)
        return path
