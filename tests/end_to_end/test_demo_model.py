"""The demo model that the repository ships: what it was trained on, what its card says, what it exports to."""

import csv
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from safetensors import safe_open

from alta_export.demo_model import DEMO_FOLDER, find_inputs
from alta_sdk.errors import ExportError
from alta_training.data.labelled import read_labelled
from alta_training.data.records import digest_records, read_table
from alta_training.evaluation.baselines import evaluate_baseline
from alta_training.evaluation.encoders import open_encoder
from alta_training.evaluation.zero_shot import evaluate_labelled

CHECKPOINT = DEMO_FOLDER / "demo.safetensors"
CARD = DEMO_FOLDER / "README.md"
MAX_BYTES = 16_000_000
PRINTED = 0.0011  # figures are printed with three decimals; another processor may move a rank
SAME = 1e-3  # a figure of a checkpoint and of its engine: a tie in rank may break the other way


@pytest.fixture(scope="module")
def metadata():
    with safe_open(CHECKPOINT, "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
        return file.metadata()


@pytest.fixture(scope="module")
def figures(data_dir):
    """The model and the baseline, on the splits that the card has."""
    table = data_dir / "nih_cxr" / "metadata.csv"
    encoder = open_encoder(CHECKPOINT)
    train = read_labelled(table, split="train", finding="Pneumonia")
    splits = {split: read_labelled(table, split=split, finding="Pneumonia") for split in ("val", "test")}
    return {
        split: (evaluate_labelled(encoder, own, "Pneumonia"), evaluate_baseline(train, own))
        for split, own in splits.items()
    }


def read_card():
    """Return the card's AUCs by (split, what): model and baseline, if it has one."""
    rows = [line.split("|")[1:-1] for line in CARD.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in row] for row in rows]
    wanted = [row for row in rows if row[0] in ("val", "test")]
    return {(row[0], row[3]): [float(cell.split()[0]) for cell in row[4:] if cell] for row in wanted}


def test_it_is_small_and_says_what_it_is(metadata):
    assert sum(path.stat().st_size for path in DEMO_FOLDER.rglob("*") if path.is_file()) <= MAX_BYTES
    assert "DEMO MODEL" in metadata["notice"]
    assert "non-commercial" in metadata["licence"]
    card = CARD.read_text(encoding="utf-8")
    for said in (metadata["notice"], metadata["licence"], metadata["training_data"], "Not for clinical use"):
        assert said in card
    assert re.search(r"\| 1 \| 0\.\d{3} \|", card), "the curve over the epochs"


def test_the_card_tells_the_measured_figures(figures):
    card = read_card()
    whats = {"all": "auc", "within AP": "auc_AP", "within PA": "auc_PA", "view alone": "auc_view_alone"}
    assert set(card) == {(split, what) for split in ("val", "test") for what in whats}
    for (split, what), shown in card.items():
        measured = [part[whats[what]] for part in figures[split]][: len(shown)]
        assert shown == pytest.approx(measured, abs=PRINTED), (split, what)


def test_its_engine_measures_the_same(figures, data_dir, demo_export):
    engine = open_encoder(demo_export / "demo.alta")
    radiographs = read_labelled(data_dir / "nih_cxr" / "metadata.csv", split="test", finding="Pneumonia")
    measured = evaluate_labelled(engine, radiographs, "Pneumonia")
    assert measured["auc"] == pytest.approx(figures["test"][0]["auc"], abs=SAME)


def test_it_was_trained_on_patients_of_the_train_split_alone(metadata, data_dir, tmp_path):
    """The table is made again by the Makefile's command, and is the one whose digest the model keeps."""
    recipe = " ".join((ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ").split())
    options = re.search(r"training/pair\.py (.*?) --output", recipe).group(1)
    given = options.replace("$(RADIOGRAPHS)", str(data_dir / "nih_cxr" / "metadata.csv")).replace(
        "$(DATA)", str(data_dir)
    )
    command = [sys.executable, str(ROOT / "training" / "pair.py"), *given.replace("$$split", "train").split()]
    made = subprocess.run([*command, "--output", str(tmp_path / "train.csv")], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert digest_records(read_table(tmp_path / "train.csv")) == metadata["studies_sha256"]
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
