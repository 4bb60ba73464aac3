"""Metrics and the published protocols, on tables made here in the published formats."""

import csv
import json

import numpy as np
import pytest
from conftest import run_training_command
from PIL import Image
from sklearn.metrics import roc_auc_score

from alta_sdk import TrainingError
from alta_training.data.labelled import read_labelled
from alta_training.evaluation.encoders import open_encoder
from alta_training.evaluation.metrics import choose_threshold, measure_auc, measure_auc_loss, precision_at, score_at
from alta_training.evaluation.protocol_files import CHEXPERT5
from alta_training.evaluation.protocols import evaluate_chexpert5, evaluate_chexpert8, evaluate_rsna

LETTERS = "abcdefghijklmnopqrstuvwxyz"  # words of the test vocabulary, so that reports differ
SAME = 1e-4  # a figure of a checkpoint and of its engine: float32 in another order


def draw_scores(count, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.5
    return truth, rng.normal(size=count) + truth


def test_an_auc_is_sklearns_and_lies_in_an_interval_that_shrinks_with_n():
    widths = []
    for count in (50, 800):
        truth, score = draw_scores(count)
        auc = measure_auc(truth, score, resamples=300)
        assert auc.value == pytest.approx(roc_auc_score(truth, score))
        assert auc.low < auc.value < auc.high
        widths.append(auc.high - auc.low)
    assert widths[1] < widths[0] / 2


def test_copies_of_a_patients_radiographs_do_not_narrow_the_interval():
    truth, score = draw_scores(60)
    many = (np.repeat(truth, 10), np.repeat(score, 10))
    by_row = measure_auc(*many, resamples=300)
    by_patient = measure_auc(*many, groups=np.repeat(np.arange(60), 10), resamples=300)
    assert by_patient.high - by_patient.low > 2 * (by_row.high - by_row.low)


def test_a_loss_is_paired_so_that_like_scores_lose_little_and_surely():
    truth, score = draw_scores(80)
    worse = score - 0.15 * truth
    patients = np.arange(80) // 2
    loss = measure_auc_loss(truth, score, worse, groups=patients, resamples=300)
    apart = [measure_auc(truth, one, groups=patients, resamples=300) for one in (score, worse)]
    assert loss.value == pytest.approx(apart[0].value - apart[1].value)
    assert 0 < loss.low <= loss.value <= loss.high
    assert loss.high - loss.low < (apart[0].high - apart[0].low) / 4
    same = measure_auc_loss(truth, score, 2 * score, groups=patients, resamples=30)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(TrainingError, match="not finite"):
        measure_auc_loss(truth, score, np.full(80, np.nan))


def test_one_class_and_scores_that_are_not_finite_are_refused():
    with pytest.raises(TrainingError, match="both classes"):
        measure_auc(np.ones(5, dtype=bool), np.arange(5.0))
    with pytest.raises(TrainingError, match="not finite"):
        measure_auc(np.array([True, False]), np.array([np.nan, 1.0]))


def test_precision_counts_the_nearest_of_the_same_label():
    similarity = np.array([[0.9, 0.8, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4]])
    labels = np.array(["a", "b", "a", "b"])
    assert precision_at(similarity, np.array(["a", "b"]), labels, 1) == 1.0
    assert precision_at(similarity, np.array(["a", "b"]), labels, 2) == 0.5
    with pytest.raises(TrainingError, match="needs 5 candidates"):
        precision_at(similarity, np.array(["a", "b"]), labels, 5)


def test_the_threshold_separates_what_can_be_separated():
    truth, score = np.array([False, False, True, True]), np.array([0.1, 0.3, 0.35, 0.9])
    assert score_at(truth, score, choose_threshold(truth, score)) == {
        "accuracy": 1.0,
        "f1": 1.0,
        "sensitivity": 1.0,
        "specificity": 1.0,
    }


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for number in range(12):
        Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def write_csv(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def encoders(checkpoint_folder, bundle):
    return open_encoder(checkpoint_folder / "model.safetensors"), open_encoder(bundle)


def assert_same_figures(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert other[name] == (pytest.approx(value, abs=SAME) if isinstance(value, float) else value)


def test_chexpert5_of_a_checkpoint_and_its_engine(encoders, images, tmp_path):
    rows = [
        [f"{n % 12}.png", *(int(n % 5 == c) for c in range(5)), f"There is {LETTERS[n // 26]} {LETTERS[n % 26]}."]
        for n in range(100)
    ]
    table = write_csv(tmp_path / "chexpert_5x200.csv", ["Path", *CHEXPERT5, "Report Impression"], *rows)
    figures = [evaluate_chexpert5(encoder, table, images) for encoder in encoders]
    assert {"accuracy", "accuracy_low", "p5", "p10", "p100"} <= figures[0].keys()
    assert figures[0]["p100"] == pytest.approx(0.2)  # all candidates: the share of each class
    assert_same_figures(*figures)


def test_chexpert8_of_a_checkpoint_and_its_engine(encoders, images, tmp_path):
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Edema"]
    candidates = [[f"{n % 12}.png", "", "", "", "", int(n % 2 == 0), int(n % 2)] for n in range(50)]
    for kind, column in (("image", "Path"), ("text", "Text")):
        asked = ["3.png", "5.png"] if kind == "image" else ["no finding", "there is edema"]
        queries = [[cell, name] for cell, name in zip(asked, ("No Finding", "Edema"), strict=True)]
        write_csv(tmp_path / f"{kind}-retrieval" / "query.csv", [column, "Variable"], *queries)
        write_csv(tmp_path / f"{kind}-retrieval" / "candidate.csv", header, *candidates)
    figures = [evaluate_chexpert8(encoder, tmp_path, images) for encoder in encoders]
    assert figures[0]["image_p50"] == figures[0]["text_p50"] == 0.5
    assert_same_figures(*figures)


def test_rsna_takes_its_threshold_from_the_validation_list_unless_told(encoders, images, tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes((images / f"{number}.png").read_bytes())
    test = [f"{n % 12}.png {int(n % 3 == 0)}" for n in range(30)]
    (tmp_path / "test_list.txt").write_text("\n".join(test) + "\n")
    (tmp_path / "val_list.txt").write_text("\n".join(test[:12]) + "\n")
    figures = [evaluate_rsna(encoder, tmp_path) for encoder in encoders]
    assert figures[0]["note"] == "threshold from val_list.txt"
    assert_same_figures(*figures)
    inside = evaluate_rsna(encoders[0], tmp_path, published_threshold=True)
    assert "inside the test set" in inside["note"]
    assert inside["auc"] == figures[0]["auc"]


def run_evaluate(*arguments):
    return run_training_command("evaluate", *arguments)


def test_evaluate_prints_figures_and_refuses_one_class(bundle, images, tmp_path):
    header = ["image", "patient", "view", "findings", "split"]
    rows = [[f"{n}.png", n // 2, "PA", "Pneumonia" if n % 2 else "No Finding", "test"] for n in range(12)]
    table = write_csv(tmp_path / "metadata.csv", header, *rows)
    given = [bundle, "--protocol", "labelled", "--data", table, "--image-root", images]
    result = run_evaluate(*given, "--json")
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(result.stdout)["figures"]
    assert 0 <= figures["auc_low"] <= figures["auc"] <= figures["auc_high"] <= 1
    assert (figures["radiographs"], figures["patients"]) == (12, 6)
    assert len(read_labelled(table, images, split="test", finding="pneumonia")) == 12
    write_csv(table, header, *rows[::2])
    refused = run_evaluate(*given)
    assert refused.exit_code == 1
    assert "TrainingError" in refused.stderr and "both Pneumonia and No Finding" in refused.stderr


def test_a_table_without_a_column_is_refused_with_its_name(bundle, tmp_path):
    table = write_csv(tmp_path / "chexpert_5x200.csv", ["Path", "Edema"], ["a.png", 1])
    refused = run_evaluate(bundle, "--protocol", "chexpert5x200", "--data", table)
    assert refused.exit_code == 1
    assert "chexpert_5x200.csv lacks the columns Report Impression" in refused.stderr
