"""Decisions that a lowered engine changes: at which thresholds they are taken, and the loss of AUC."""

import numpy as np
import pytest

from alta_export.answers import GateInputs
from alta_export.decisions import choose_thresholds, compare_auc, compare_scores
from alta_export.gate import make_labels
from alta_export.radiographs import Radiographs
from alta_sdk.matching.operating_point import choose_operating_point
from alta_training.evaluation.metrics import measure_auc_loss


def make_inputs(truth=None, patients=None, count=60):
    _, labels = make_labels(["Edema", "Pneumonia"])
    pixels = np.zeros((count, 1, 2, 2), np.uint8)
    held = Radiographs(pixels, np.zeros(count, np.int64), truth, "made", patients=patients)
    return GateInputs(held, [], labels, "Pneumonia", logit_scale=10.0)


@pytest.fixture
def scores():
    generator = np.random.default_rng(4)
    truth = np.arange(60) % 2 == 0
    found = generator.uniform(0, 0.3, (60, 2))
    found[truth, 1] += 0.15
    return found, truth


def test_a_decision_is_taken_at_the_operating_point_where_the_truth_is_known(scores):
    found, truth = scores
    thresholds = choose_thresholds(found, make_inputs(truth))
    assert thresholds == {"Edema": 0.5, "Pneumonia": choose_operating_point(found[:, 1], truth).threshold}
    assert 0 < thresholds["Pneumonia"] < 0.45
    assert choose_thresholds(found, make_inputs()) == {"Edema": 0.5, "Pneumonia": 0.5}
    few = np.arange(60) < 19
    assert choose_thresholds(found, make_inputs(few))["Pneumonia"] == 0.5
    assert choose_thresholds(-found, make_inputs(truth))["Pneumonia"] == 0.5


def test_a_flip_that_half_would_not_show_is_counted(scores):
    found, truth = scores
    inputs = make_inputs(truth)
    limit = choose_thresholds(found, inputs)["Pneumonia"]
    changed = found.copy()
    moved = int(np.argmin(np.where(found[:, 1] >= limit, found[:, 1], 9)))
    changed[moved, 1] = limit - 1e-6
    drift = compare_scores(found, changed, inputs)
    assert drift.flipped_share == pytest.approx(1 / 120) and drift.decisions == 120
    assert drift.max_score_shift == pytest.approx(found[moved, 1] - limit + 1e-6)
    assert compare_scores(found, changed, make_inputs()).flipped_share == 0
    at_limit = found.copy()
    at_limit[moved, 1] = limit  # a score at its threshold reaches it, as in the SDK
    assert compare_scores(found, at_limit, inputs).flipped_share == 0


def test_the_interval_of_the_loss_is_by_patient_and_paired(scores):
    found, truth = scores
    patients = np.array([f"p{number // 3}" for number in range(60)])
    changed = found + np.random.default_rng(5).normal(0, 0.05, found.shape)
    for groups in (patients, None):
        drift = compare_auc(found, changed, make_inputs(truth, groups))
        expected = measure_auc_loss(truth, found[:, 1], changed[:, 1], groups=groups)
        assert (drift.loss.value, drift.loss.low, drift.loss.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-12
        )
        assert drift.reference - drift.engine == drift.loss.value and drift.loss.low < drift.loss.value
    assert compare_auc(found, changed, make_inputs()) is None
