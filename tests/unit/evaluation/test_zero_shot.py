"""Our own protocol on a labelled table: every finding, and whether scores are probabilities."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from fakes.encoder import FakeEncoder
from PIL import Image

from alta_sdk import Matcher
from alta_sdk.statistics.calibration import measure_calibration
from alta_training.data.labelled import LabelledRadiograph, count_findings, read_labelled
from alta_training.evaluation.calibration import score_probability
from alta_training.evaluation.encoders import RememberingEncoder, open_encoder
from alta_training.evaluation.zero_shot import evaluate_findings, evaluate_labelled

PROMPTS = {
    f"There is {no}{name}": ([0, 1] if no else [1, 0])
    for name in ("pneumonia", "pleural thickening", "edema")
    for no in ("", "no ")
}
HEADER = ["image", "patient", "view", "findings", "split"]


@pytest.fixture
def table(tmp_path):
    """12 with pneumonia, of which 10 have Pleural_Thickening and 2 Edema, too; one Edema alone; 8 normal."""
    rows = []
    for number in range(21):
        found = ["Pneumonia"] * (number < 12) + ["Pleural_Thickening"] * (number < 10) + ["edema"] * (9 < number < 13)
        view = "AP" if number % 2 else "PA"
        rows.append([f"{number}.png", number // 2, view, "|".join(found) or "No Finding", "test"])
        (tmp_path / f"{number}.png").touch()
    with (tmp_path / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows, ["21.png", 99, "PA", "Hernia", "train"]])
    return tmp_path / "metadata.csv"


@pytest.fixture
def encoder():
    """The first 13 files lie at the side of "There is …", with one that is normal."""
    return FakeEncoder({f"{n}.png": [1, 0.1] if n < 13 or n == 20 else [0.1, 1] for n in range(21)}, PROMPTS)


def test_findings_are_counted_as_the_table_spells_them_without_no_finding(table):
    assert count_findings(table, "test") == {"Pneumonia": 12, "Pleural_Thickening": 10, "edema": 3}
    assert count_findings(table)["Hernia"] == 1


def test_every_finding_with_enough_positives_is_measured_against_no_finding(table, encoder):
    (thickening,), left_out = evaluate_findings(encoder, table, "test", "pneumonia")
    assert left_out == {"edema": 3}
    assert (thickening.finding, thickening.with_main) == ("Pleural_Thickening", 10)
    assert thickening.by_view == {"AP": 5, "PA": 5}
    assert (thickening.figures["radiographs"], thickening.figures["positive"]) == (18, 10)
    assert thickening.figures["auc"] == pytest.approx(1 - 1 / 8 / 2)  # one of eight normal ones is tied
    assert {"auc_low", "auc_AP_low", "auc_PA_low"} <= thickening.figures.keys()
    both, none_left = evaluate_findings(encoder, table, "test", "Pneumonia", fewest=3)
    assert [one.finding for one in both] == ["Pleural_Thickening", "edema"] and not none_left
    assert both[1].with_main == 2


def test_a_file_is_embedded_once_however_many_findings_ask_for_it(table, encoder):
    remembering = RememberingEncoder(encoder)
    evaluate_findings(remembering, table, "test", "Pneumonia", fewest=3)
    radiographs = read_labelled(table, split="test", finding="Pneumonia")
    assert evaluate_labelled(remembering, radiographs, "Pneumonia") == evaluate_labelled(
        FakeEncoder(encoder.files, PROMPTS), radiographs, "Pneumonia"
    )
    assert encoder.embedded == 21


def test_a_probability_is_the_matchers_score(bundle, checkpoint_folder, tmp_path):
    image_files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(image_files):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    matcher = Matcher(bundle, fusion_mode="frontal")
    expected = [one.scores["edema"] for one in matcher.zero_shot(image_files, ["edema"])]
    radiographs = [LabelledRadiograph(path, "1", "", True) for path in image_files]
    for encoder in (open_encoder(bundle), open_encoder(checkpoint_folder / "model.safetensors")):
        assert encoder.logit_scale == pytest.approx(matcher.engine.manifest.logit_scale)
        np.testing.assert_allclose(score_probability(encoder, radiographs, "Edema"), expected, atol=1e-5)


def test_a_probability_is_a_softmax_over_two_cosines():
    encoder = FakeEncoder({"a.png": [1, 0]}, PROMPTS, logit_scale=math.log(3))
    assert score_probability(encoder, [LabelledRadiograph(Path("a.png"), "1", "", True)], "Edema") == pytest.approx(
        0.75
    )


def test_the_calibration_error_is_its_formula():
    probability = np.array([0.9, 0.1, 0.2, 0.8])
    calibration = measure_calibration(np.array([True, False, True, True]), probability, bins=2)
    assert [(one.score, one.observed, one.count) for one in calibration.bins] == [
        (pytest.approx(0.15), 0.5, 2),
        (pytest.approx(0.85), 1.0, 2),
    ]
    assert calibration.error == pytest.approx(0.5 * 0.35 + 0.5 * 0.15)


def test_true_probabilities_show_the_error_of_chance_and_others_more():
    rng = np.random.default_rng(0)
    probability = rng.random(2000)
    truth = rng.random(2000) < probability
    calibrated = measure_calibration(truth, probability)
    assert calibrated.error == pytest.approx(calibrated.by_chance, abs=0.02)
    assert [one.count for one in calibrated.bins] == [200] * 10
    overconfident = measure_calibration(truth, probability > 0.5)
    assert overconfident.error > 5 * calibrated.by_chance
