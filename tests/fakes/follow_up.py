"""A small engine whose image tower reads the prior, as BioViL-T's does: random weights, and ALTA's text graph."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alta_export.bundle import pack_arrays
from alta_export.graph import GraphInput
from alta_runtimes import load
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.heads import NoHead
from alta_sdk.engine.label_sets import parse_label_sets, render_label_sets
from alta_sdk.engine.manifest import BundleFile, BundleGraph
from alta_sdk.engine.manifest_content import LOCAL_HEADS
from alta_sdk.engine.patches import list_places
from alta_sdk.engine.preprocessing import describe_geometry
from alta_sdk.engine.vectors import to_unit_length
from alta_sdk.matching.progression import build_progression_set
from alta_sdk.study.geometry import SHORTER_SIDE, Geometry
from fakes.manifests import reseal

SIDE, CHANNELS, HIDDEN, PATCH_PX = 14, 6, 10, 4
GEOMETRY = Geometry(SHORTER_SIDE, 64, SIDE * PATCH_PX, "bilinear", grey_first=True)
PAIRS = 3
STATED = {
    "family": "biovil-t",
    "head": "none",
    "fusion_mode": "prior",
    "fusion_modes": ("prior", "frontal"),
    "slots": ("frontal", "prior_frontal"),
    "prompt_rule": "strip-final-punctuation",
    "patch_match": "phrase",
    "logit_scale": 1.0,
    "logit_scale_note": "1, as published",
    "licence": "MIT",
}


class Project(nn.Module):
    """Features of a radiograph and of its prior, (n, channels, side, side) each, to projection and patches."""

    def __init__(self, embedding):
        super().__init__()
        self.first, self.last = nn.Conv2d(2 * CHANNELS, HIDDEN, 1), nn.Conv2d(HIDDEN, embedding, 1)
        # The mean over places, by an operator that graphs may hold.
        self.register_buffer("mean", torch.full((embedding, 1, SIDE, SIDE), 1 / SIDE**2))

    def forward(self, features, prior_features):
        patches = self.last(F.gelu(self.first(torch.cat([features, prior_features], dim=1))))
        return F.conv2d(patches, self.mean, groups=len(self.mean)).flatten(1), patches


class See(nn.Module):
    """Pixels (n, 1, px, px) to features, and the projection and the patches without a prior."""

    def __init__(self, project):
        super().__init__()
        self.trunk, self.project = nn.Conv2d(1, CHANNELS, PATCH_PX, PATCH_PX), project
        self.missing = nn.Parameter(torch.randn(1, CHANNELS, 1, 1))

    def forward(self, pixels):
        features = self.trunk(pixels.float() * (1 / 255) - 0.5)
        return features, *self.project(features, self.missing + 0 * features)


def write_follow_up(bundle, folder, trace):
    """Make such an engine of an ALTA bundle; trace: exports a tower as a graph."""
    shutil.copytree(bundle, folder)
    manifest = open_bundle(folder).manifest
    torch.manual_seed(16)
    see = See(Project(manifest.sizes["embedding"])).eval()
    pixels = torch.zeros(2, 1, *[GEOMETRY.crop_px] * 2, dtype=torch.uint8)
    example = torch.zeros(2, CHANNELS, SIDE, SIDE)
    graphs = {
        "image": trace(see, [GraphInput("pixels", pixels, {0: "n"})], ["features", "projection", "patches"]),
        "fuse": trace(
            see.project,
            [GraphInput("features", example, {0: "n"}), GraphInput("prior_features", example.clone(), {0: "n"})],
            ["projection", "patches"],
        ),
    }
    for name, graph in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    with np.load(folder / "selftest.npz") as stored:
        arrays = dict(stored)
    generator = np.random.default_rng(16)
    arrays["pixels"] = generator.integers(0, 256, (4, 1, *[GEOMETRY.crop_px] * 2), dtype=np.uint8)
    arrays["slot"] = np.zeros(4, dtype=np.int64)
    image, fuse = (load(graphs[name].SerializeToString(), runtime="onnxruntime") for name in ("image", "fuse"))
    seen = image.run({"pixels": arrays["pixels"]})
    prior = np.roll(seen["features"], -1, axis=0)
    arrays["image"], arrays["patches"] = to_unit_length(seen["projection"]), list_places(seen["patches"][:1])
    paired = fuse.run({"features": seen["features"], "prior_features": prior})["projection"]
    arrays["paired"] = to_unit_length(paired[:PAIRS])
    (folder / "selftest.npz").write_bytes(pack_arrays(arrays))
    (folder / "head.npz").write_bytes(pack_arrays(NoHead(manifest.sizes["embedding"]).arrays()))
    sets = {**parse_label_sets((folder / "prompts.json").read_bytes()), "progression": build_progression_set()}
    (folder / "prompts.json").write_text(render_label_sets(sets))
    gone = ("patches.onnx", "prompts.npz")  # the vectors are of ALTA's prompts alone
    names = (*(file.name for file in manifest.files if file.name not in gone), "fuse.onnx")
    reseal(
        folder,
        **STATED,
        graphs={
            "image": BundleGraph("image.onnx", ("pixels",), ("features", "projection", "patches")),
            "fuse": BundleGraph("fuse.onnx", ("features", "prior_features"), ("projection", "patches")),
            "text": manifest.graphs["text"],
        },
        preprocessing={"intensity_profile": "minmax-v1", **describe_geometry(GEOMETRY)},
        engine={name: value for name, value in manifest.engine.items() if name != LOCAL_HEADS},
        files=tuple(BundleFile.of(name, (folder / name).read_bytes()) for name in names),
    )
    for name in gone:
        (folder / name).unlink()


@pytest.fixture(scope="session")
def follow_up_bundle(bundle, make_once, trace_once):
    """The path of such an engine; tests that change it copy it first."""
    made = make_once("follow-up", lambda folder: write_follow_up(bundle, folder / "follow.alta", trace_once))
    return made / "follow.alta"
