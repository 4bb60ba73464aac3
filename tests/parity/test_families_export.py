"""Bundles made of the published files meet the published code's outputs: read from ALTA_SEEDS_DIR, unknown here.

What is run are the bundles' own graphs in onnxruntime, their tokenizer and their head: what a workstation has.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import export_quietly
from parity.goldens import read_arrays, read_facts
from tolerances import FAMILY_PATCHES, FAMILY_VECTORS

from alta_export.families.registry import find_export
from alta_export.graph import export_graph
from alta_export.options import ExportOptions
from alta_runtimes import load
from alta_sdk import Engine
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.vectors import to_unit_length
from alta_training.families.checkpoint import read_checkpoint
from alta_training.families.registry import recognise


class Bundle:
    """A bundle's graphs, loaded, and its engine."""

    def __init__(self, path):
        self.engine = Engine.open(path, runtime="onnxruntime", threads=1)
        self.manifest = self.engine.manifest
        self.graphs = {
            name: load((path / graph.file).read_bytes(), runtime="onnxruntime")
            for name, graph in self.manifest.graphs.items()
        }

    def run(self, name, **given):
        return self.graphs[name].run(self.manifest.graphs[name].select_inputs(given))

    def tokenize(self, prompts):
        tokens = (self.engine.bundle.folder / "tokenizer.json").read_text(encoding="utf-8")
        tokenizer = PromptTokenizer(tokens, self.manifest.sizes["max_tokens"], self.manifest.prompt_rule)
        encoded = tokenizer.encode(prompts)
        return tokenizer.pad(encoded, len(encoded))


@pytest.fixture(scope="module")
def biovil(seeds_dir):
    return seeds_dir / "biovil"


@pytest.fixture(scope="module")
def clip(seeds_dir):
    return seeds_dir / "clip"


@pytest.fixture(scope="module")
def golden():
    return lambda folder: (read_arrays(folder), read_facts(folder))


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    def make(checkpoint, **changes):
        output = tmp_path_factory.mktemp("engine") / "x.alta"
        export_quietly(ExportOptions(checkpoint, changes.pop("text_model", None), output, **changes))
        return Bundle(output)

    return make


def find_text_folder(folder):
    return next(path.parent for path in folder.glob("*/config.json"))


def assert_vectors(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_VECTORS * max(1, np.abs(expected).max()))


def assert_patches(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=FAMILY_PATCHES * np.abs(expected).max())


def assert_projected(golden, prefix, projection):
    assert_vectors(projection, golden[f"{prefix}_projection"])
    assert_vectors(to_unit_length(projection), golden[f"{prefix}_embedding"])


def assert_seen(golden, prefix, seen):
    assert_projected(golden, prefix, seen["projection"])
    assert_patches(seen["patches"], golden[f"{prefix}_patches"])


def assert_texts(bundle, arrays, prompts, prefix="text"):
    ids, mask = bundle.tokenize(prompts)
    kept = arrays["input_ids" if prefix == "text" else f"{prefix.removesuffix('_text')}_input_ids"]
    length = min(ids.shape[1], kept.shape[1])
    np.testing.assert_array_equal(ids[:, :length], kept[:, :length])
    assert not ids[:, length:].any() and not kept[:, length:].any()
    assert_projected(arrays, prefix, bundle.run("text", input_ids=ids, attention_mask=mask)["projection"])


def test_biovil_t(biovil, golden, export):
    arrays, facts = golden(biovil)
    bundle = export(next(biovil.glob("biovil_t_*.pt")), text_model=find_text_folder(biovil))
    assert bundle.manifest.geometry.crop_px == arrays["pixels_u8"].shape[-1]
    seen = bundle.run("image", pixels=arrays["pixels_u8"][:, None])
    assert_patches(seen["features"], arrays["static_features"])
    assert_seen(arrays, "alone", seen)
    current, prior = (list(rows) for rows in zip(*facts["pairs"], strict=True))
    paired = bundle.run("fuse", features=seen["features"][current], prior_features=seen["features"][prior])
    assert_seen(arrays, "paired", paired)
    assert_texts(bundle, arrays, facts["prompts"])


def test_biovil(biovil, golden, export):
    arrays, _ = golden(biovil)
    bundle = export(next(biovil.glob("biovil_image_*.pt")), text_model=find_text_folder(biovil))
    assert bundle.manifest.geometry.crop_px == arrays["pixels_480_u8"].shape[-1]
    assert_seen(arrays, "biovil", bundle.run("image", pixels=arrays["pixels_480_u8"][:, None]))


def test_chexzero(clip, golden, draw_weights, export, tmp_path):
    """Its merges file is found beside it; a narrow text tower's heads are given, which no tensor tells."""
    arrays, facts = golden(clip)
    torch.save(draw_weights(facts, "chexzero_shapes"), tmp_path / "best.pt")
    shutil.copy(next(clip.glob("bpe_*.txt.gz")), tmp_path)
    bundle = export(tmp_path / "best.pt", text_heads=facts["chexzero_sizes"]["transformer_heads"])
    pixels = arrays["chexzero_pixels_u8"][:, None]
    assert_projected(arrays, "chexzero_image", bundle.engine.head.project(bundle.run("image", pixels=pixels)["cls"]))
    prompts = facts["prompts"] + [form.format(label) for form in facts["pair"] for label in facts["labels"]]
    assert_texts(bundle, arrays, prompts, "chexzero_text")
    assert (bundle.manifest.prompt_pair, bundle.manifest.logit_scale) == (tuple(facts["pair"]), 1.0)


def test_biomedclip(clip, golden, draw_weights, export, tmp_path):
    """The published folder is the checkpoint; heads of narrow towers are given."""
    arrays, facts = golden(clip)
    published = next(path.parent for path in clip.glob("*/open_clip_config.json"))
    folder = Path(shutil.copytree(published, tmp_path / published.name))
    torch.save(draw_weights(facts, "biomedclip_shapes"), folder / "open_clip_pytorch_model.bin")
    heads = facts["biomedclip_heads"]
    bundle = export(folder, image_heads=heads["image"], text_heads=heads["text"])
    pixels = arrays["biomedclip_pixels_u8"][:, None]
    assert_projected(arrays, "biomedclip_image", bundle.engine.head.project(bundle.run("image", pixels=pixels)["cls"]))
    assert_texts(bundle, arrays, facts["biomedclip_prompts"], "biomedclip_text")


def test_biovil_t_of_the_published_size(biovil, golden, draw_weights, tmp_path):
    """By rule; the two graphs of radiographs alone, since the text model beside them stays narrow."""
    arrays, facts = golden(biovil)
    torch.save(draw_weights(facts, "full_shapes"), tmp_path / "published.pt")
    checkpoint = read_checkpoint(tmp_path / "published.pt")
    towers = recognise(checkpoint.weights).read(checkpoint, find_text_folder(biovil), None, None)
    merged = find_export(towers.family).merge(towers).graphs
    image, fuse = (
        load(export_graph(graph.tower, graph.inputs, list(graph.outputs)).SerializeToString(), runtime="onnxruntime")
        for graph in (merged["image"], merged["fuse"])
    )
    seen = image.run({"pixels": arrays["pixels_u8"][facts["full_pair"]][:, None]})
    assert_seen(arrays, "full_alone", seen)
    features = seen["features"]
    assert_seen(arrays, "full_paired", fuse.run({"features": features[:1], "prior_features": features[1:]}))
