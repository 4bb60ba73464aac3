"""Radiographs for an encoder: files to current frontals, through the SDK's own reading, in batches."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alta_sdk import Radiograph, Slot
from alta_sdk.engine.vectors import Vector
from alta_sdk.study.geometry import Geometry
from alta_sdk.study.study import load_study

BATCH = 16
READERS = 2


def map_frontals(paths: Sequence[Path], profile: str, geometry: Geometry, encode: Callable[[Tensor], Tensor]) -> Vector:
    """Give files, read as current frontals (n, px, px) uint8, to a part of a model, in batches: (n, ...) float32."""
    vectors = []
    with torch.no_grad():
        for batch in _in_batches(read_frontals(paths, profile)):
            grey = torch.from_numpy(np.stack([radiograph.pixels_for(geometry) for radiograph in batch]))
            vectors.append(encode(grey).float().cpu().numpy())
    return np.concatenate(vectors)


def read_frontals(paths: Sequence[Path], profile: str) -> Iterator[Radiograph]:
    """Read files in order, a few ahead, whatever view they state: a table's word counts."""
    load = partial(load_study, intensity_profile=profile, any_body_part=True, any_view=True, any_picture=True)
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(paths), BATCH):  # bounded, so that memory does not grow with the list
            for study in pool.map(load, paths[start : start + BATCH]):
                yield study.radiographs[Slot.FRONTAL]


def _in_batches(radiographs: Iterator[Radiograph]) -> Iterator[list[Radiograph]]:
    batch: list[Radiograph] = []
    for radiograph in radiographs:
        batch.append(radiograph)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
