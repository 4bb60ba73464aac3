"""What the export makes of a family's towers: graphs that are equal to them, and what goes with these.

A family's own file merges; the pipeline exports, verifies and writes whatever it is given in this form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from alta_sdk.engine.heads import Head
from alta_sdk.engine.manifest import BundleGraph
from alta_sdk.engine.manifest_content import FUSE, IMAGE, SLOTS, name_graph_file
from alta_sdk.engine.vectors import Vector, to_unit_length
from alta_training.families.family import Towers

from ..graph import GraphInput

Arrays = dict[str, NDArray[Any]]
SLOT = "slot"


@dataclass(frozen=True, eq=False)
class MergedGraph:
    """One graph before its export: the module, an example of each input, and the names of its outputs.

    kept: of the module's own parts, those whose products stay in FP32 at every precision.
    """

    tower: nn.Module
    inputs: list[GraphInput]
    outputs: tuple[str, ...]
    kept: tuple[str, ...] = ()

    def describe(self, name: str) -> BundleGraph:
        """Return what a manifest says of it."""
        return BundleGraph(name_graph_file(name), tuple(item.name for item in self.inputs), self.outputs)


@dataclass(frozen=True, eq=False)
class MergedEngine:
    """Towers after their merging.

    graphs: by the name that a manifest has for them. head: what follows the image graph, in the SDK.
    merging: parameters and multiply-adds, before and after, and what else was measured.
    answer: the published towers' answers to the self-test's inputs, by name: "image" and "text" of unit length first,
    then further ones, whose directions are compared, too, each with its vectors on the last axis.
    pixel_scaling: what the image graph does to grey values, for the manifest.
    slots: of a study that the family reads. patch_scale: what words' attention to patches is multiplied with, of a
    family that has it. reference: what `answer` runs, in words.
    """

    graphs: Mapping[str, MergedGraph]
    head: Head
    merging: dict[str, Any]
    answer: Callable[[Arrays], Arrays]
    pixel_scaling: Mapping[str, Any] = field(default_factory=dict)
    slots: tuple[str, ...] = SLOTS
    patch_scale: float | None = None
    reference: str = "PyTorch float32, as published"

    @property
    def has_slots(self) -> bool:
        """True if a radiograph's vector depends on its place in the study."""
        return SLOT in self.describe_graph(IMAGE).inputs

    @property
    def has_prior(self) -> bool:
        """True if a radiograph is compared with its prior inside the towers."""
        return FUSE in self.graphs

    def describe_graph(self, name: str) -> BundleGraph:
        """Return what a manifest says of a graph."""
        return self.graphs[name].describe(name)


def to_priors(features: NDArray[Any]) -> NDArray[Any]:
    """Give each of the self-test's radiographs the next one as its prior, the last one the first: features (n, …)."""
    return np.roll(features, -1, axis=0)


def answer_prompts(towers: Towers, inputs: Arrays) -> Vector:
    """Run the published text tower on the self-test's prompts: unit vectors (n, embedding)."""
    with torch.no_grad():
        projection = towers.text(torch.from_numpy(inputs["input_ids"]), torch.from_numpy(inputs["attention_mask"]))
    return to_unit_length(projection.numpy())
