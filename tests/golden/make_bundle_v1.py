"""Make bundle-v1.alta and bundle-v1.json: an engine as release 0.1.0 wrote them, and what that release made of it.

Run with the tree of release 0.1.0, whose export writes version 1 of the manifest; a later one writes another:

    python make_bundle_v1.py FOLDER

The smallest towers that show a slip, two radiographs in the self-test, a made-up prior. It is signed with a key that
is thrown away; the public one lies beside it.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import BertConfig

from alta_export import verify
from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine
from alta_sdk import Matcher, Study
from alta_sdk.engine.signature import make_key_pair
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes

WIDTH, EMBEDDING = 8, 16
NAME = "bundle-v1"
MODES = ("frontal", "present", "published")
LABELS = ["pneumonia", "pleural effusion"]


def make_checkpoint(folder: Path) -> None:
    """Write a random checkpoint and its text model."""
    config = BertConfig(
        vocab_size=400,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=48,
    )
    sizes = ModelSizes(
        image=ImageSizes(WIDTH, 1, 2, 2 * WIDTH, 2, 3, embedding=EMBEDDING),
        decoder=DecoderSizes(WIDTH, 1, 1, WIDTH),
        text=TextSizes(config, 2, 3, embedding=EMBEDDING),
    )
    write_text_model(folder / "text-model", config)
    metadata = {"notice": "RANDOM TEST MODEL", "image_heads": "2"}
    save_checkpoint(make_random_model(sizes, seed=16), folder / "model.safetensors", metadata)


def make_study() -> Study:
    """Return a study of two radiographs that are made up; the test makes the same."""
    rows, columns = np.mgrid[0:256, 0:288]
    folder = Path(tempfile.mkdtemp())
    for number, name in enumerate(("frontal.png", "prior.png"), start=1):
        grey = (127 + 90 * np.sin(rows / (17 * number)) * np.cos(columns / 23)).astype(np.uint8)
        Image.fromarray(grey).save(folder / name)
    return Study.from_images(frontal=folder / "frontal.png", prior_frontal=folder / "prior.png")


def main(output: str) -> None:
    """Export, sign, score, and write all of it down."""
    folder = Path(output)
    verify.RADIOGRAPHS = 2
    os.environ["SOURCE_DATE_EPOCH"] = "1750000000"
    with tempfile.TemporaryDirectory() as work:
        made = Path(work)
        make_checkpoint(made)
        private, public = make_key_pair()
        (made / "test.key").write_bytes(private)
        (made / "test.key").chmod(0o600)
        (folder / f"{NAME}.pub").write_bytes(public)
        options = ExportOptions(
            checkpoint=made / "model.safetensors",
            text_model=made / "text-model",
            output=folder / f"{NAME}.alta",
            sign=made / "test.key",
        )
        export_engine(options, lambda _: contextlib.nullcontext())
    study = make_study()
    facts = {}
    for mode in MODES:
        matcher = Matcher(folder / f"{NAME}.alta", runtime="onnxruntime", threads=1, fusion_mode=mode)
        facts[mode] = {
            "embedding": matcher.embed(study).vector.tolist(),
            "scores": matcher.zero_shot(study, LABELS).scores,
            "rsna": matcher.zero_shot(study, "rsna", temperature=None).scores,
            "chexpert5": matcher.zero_shot(study, "chexpert5").scores,
            "phrase": matcher.score(study, ["There is edema.", "no edema"]).tolist(),
            "local_score": matcher.locate(study, "edema").local_score,
        }
    sha256 = matcher.engine.manifest.sha256
    content = {"labels": LABELS, "engine_sha256": sha256, "modes": facts}
    (folder / f"{NAME}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
