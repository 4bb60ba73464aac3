"""Folds by patient, what is measured over them, the table, and the files that name arms."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from alta_sdk import TrainingError
from alta_training.data.labelled import LabelledRadiograph
from alta_training.evaluation import cross_validation
from alta_training.evaluation.arms import Arm, read_arms
from alta_training.evaluation.baselines import (
    evaluate_baseline,
    fit_pixels,
    score_folds_on_features,
    score_folds_on_pixels,
)
from alta_training.evaluation.cross_validation import ArmFigures, compare_arms, divide, measure_folds, render_arms
from alta_training.evaluation.encoders import open_encoder
from alta_training.evaluation.metrics import measure_auc


def make_radiographs(patients, folder=Path("none")):
    """Radiographs of patients (number, is positive), in this order."""
    return [
        LabelledRadiograph(folder / f"{row}.png", str(patient), "PA", bool(truth))
        for row, (patient, truth) in enumerate(patients)
    ]


@pytest.fixture(scope="module")
def radiographs():
    """Sixty of forty patients, a third positive; some patients have both."""
    rng = np.random.default_rng(1)
    return make_radiographs(zip(rng.permutation([*range(40), *range(20)]), rng.random(60) < 0.35, strict=True))


@pytest.fixture(scope="module")
def folds(radiographs):
    return divide(radiographs, 4, range(3))


@pytest.fixture(scope="module")
def scores(radiographs, folds):
    """Rounded, so that some are alike."""
    rng = np.random.default_rng(2)
    truth = np.array([one.is_positive for one in radiographs])
    return {
        name: [(gain * truth[f.held_out] + rng.standard_normal(len(f.held_out))).round(1) for f in folds]
        for name, gain in (("good", 2.0), ("poor", 0.2))
    }


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=12, max_size=60), st.integers(2, 4))
def test_folds_share_no_patient_and_hold_every_radiograph_out_once_a_seed(patients, count):
    radiographs = make_radiographs(patients)
    try:
        divided = divide(radiographs, count, [0, 5])
    except TrainingError as error:
        assert "choose fewer --folds" in str(error)
        return
    assert [(fold.seed, fold.number) for fold in divided] == [(seed, n) for seed in (0, 5) for n in range(count)]
    for fold in divided:
        assert sorted([*fold.train, *fold.held_out]) == list(range(len(radiographs)))
        train, held_out = ([radiographs[row] for row in rows] for rows in (fold.train, fold.held_out))
        assert not {one.patient for one in train} & {one.patient for one in held_out}
        assert all({one.is_positive for one in part} == {False, True} for part in (train, held_out))
    for seed in (0, 5):
        held_out = [row for fold in divided if fold.seed == seed for row in fold.held_out]
        assert sorted(held_out) == list(range(len(radiographs)))


def test_a_seed_divides_alike_and_another_otherwise(radiographs, folds):
    again = divide(radiographs, 4, [1])
    assert all(np.array_equal(one.held_out, fold.held_out) for one, fold in zip(again, folds[4:8], strict=True))
    assert not all(np.array_equal(one.held_out, fold.held_out) for one, fold in zip(again, folds[:4], strict=True))


def test_too_few_patients_are_refused():
    few = make_radiographs([(0, True), (0, True), (1, True), (2, False), (3, False), (4, False)])
    with pytest.raises(TrainingError, match="3 folds need as many patients of either class, not 2"):
        divide(few, 3, [0])


def rank_naively(scores, truth):
    """The share of pairs in which the positive one is above, half for one alike."""
    wins = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]
    return np.mean(wins) if wins else np.nan


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_measured_with_rows_that_repeat(seed, radiographs, folds, scores):
    truth = np.array([one.is_positive for one in radiographs])
    rows = np.random.default_rng(seed).integers(0, 60, (500, 9)[seed % 2])  # of nine, some folds lack a class
    expected = []
    for fold, own in zip(folds, scores["good"], strict=True):
        places = {row: place for place, row in enumerate(fold.held_out)}
        drawn = [places[row] for row in rows if row in places]
        expected.append(rank_naively(own[drawn], truth[fold.held_out][drawn]))
    measured = measure_folds(truth, folds, scores["good"], rows)
    np.testing.assert_allclose(measured, expected, rtol=1e-12)
    assert np.isnan(measured).any() == (seed % 2 == 1)


def test_an_arm_gains_nothing_over_itself_and_something_over_a_poorer_one(radiographs, folds, scores, monkeypatch):
    monkeypatch.setattr(cross_validation, "RESAMPLES", 60)
    same = {**scores, "same": scores["good"]}
    figures = {arm.name: arm for arm in compare_arms(radiographs, folds, same, {"same": "good", "good": "poor"})}
    assert list(figures) == ["good", "poor", "same"]
    gain = figures["same"].gain
    assert (gain.value, gain.low, gain.high, figures["same"].over) == (0, 0, 0, "good")
    assert figures["poor"].gain is None and figures["poor"].over == ""
    better = figures["good"].gain
    assert better.value == pytest.approx(figures["good"].auc.value - figures["poor"].auc.value)
    assert 0 < better.low < better.value < better.high
    truth = np.array([one.is_positive for one in radiographs])
    aucs = [measure_auc(truth[f.held_out], own).value for f, own in zip(folds, scores["good"], strict=True)]
    assert figures["good"].by_seed == pytest.approx([np.mean(aucs[start : start + 4]) for start in (0, 4, 8)])
    assert figures["good"].auc.value == pytest.approx(np.mean(aucs))
    assert figures["good"].auc.low < figures["good"].auc.value < figures["good"].auc.high


def test_the_table_has_a_row_for_each_arm(radiographs, folds, scores, monkeypatch):
    monkeypatch.setattr(cross_validation, "RESAMPLES", 20)
    figures = compare_arms(radiographs, folds, scores, {"poor": "good"})
    assert all(isinstance(arm, ArmFigures) for arm in figures)
    lines = render_arms(figures, {"good": "what is good"}).splitlines()
    assert lines[0] == "| arm | what | AUC | least to most of the seeds | gain |"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    good, poor = figures
    assert rows[0] == ["good", "what is good", str(good.auc), f"{min(good.by_seed):.3f} to {max(good.by_seed):.3f}", ""]
    assert rows[1][4].startswith(f"{poor.gain.value:+.3f} (-") and rows[1][4].endswith(") over good")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """110 noisy radiographs of as many patients, of which every second is brighter in its upper half."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(2)
    for number in range(110):
        pixels = rng.integers(0, 120, (48, 48), dtype=np.uint8)
        pixels[:24] += 100 * (number % 2)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return make_radiographs([(number, number % 2) for number in range(110)], folder)


def test_baselines_are_those_of_the_protocols(pictures, checkpoint_folder):
    folds = divide(pictures, 4, [3])
    on_pixels = score_folds_on_pixels(pictures, folds)
    truth = np.array([one.is_positive for one in pictures])
    for fold, own in zip(folds, on_pixels, strict=True):
        train, held_out = ([pictures[row] for row in rows] for rows in (fold.train, fold.held_out))
        figures = evaluate_baseline(train, held_out)
        assert measure_auc(truth[fold.held_out], own).value == pytest.approx(figures["auc"]) == 1
        assert own == pytest.approx(fit_pixels(train)(held_out)), "each fold is scored by what it was fitted to"
    encoder = open_encoder(checkpoint_folder / "model.safetensors")
    on_features = score_folds_on_features(encoder, pictures, folds)
    assert min(measure_folds(truth, folds, on_features, np.arange(len(truth)))) > 0.9


def test_the_pixel_baseline_is_left_out_where_a_fold_has_too_few(pictures):
    assert score_folds_on_pixels(pictures, divide(pictures, 3, [0])) is None


ARMS = (
    '[plain]\nrecipe = "demo.toml"\nset = ["ema=0.5", 3]\n[more-1]\nwhat = "x"\nrecipe = "a/b.toml"\nteacher = true\n'
)


def test_arms_are_read_with_recipes_beside_their_file(tmp_path):
    (tmp_path / "arms.toml").write_text(ARMS + 'over = "plain"\n')
    plain, more = read_arms(tmp_path / "arms.toml")
    assert plain == Arm("plain", "", tmp_path / "demo.toml", ("ema=0.5", "3"))
    assert more == Arm("more-1", "x", tmp_path / "a" / "b.toml", teacher=True, over="plain")


def test_the_arms_of_the_demo_are_arms():
    arms = read_arms(Path(__file__).parents[3] / "training" / "alta_training" / "recipes" / "demo-arms.toml")
    assert all(arm.recipe.is_file() and arm.what for arm in arms)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plain", "cannot be read: give a TOML file"),
        ("", "has no arm"),
        ("plain = 3", "plain must be a table with a recipe"),
        ("[plain]\nset = []", "plain must be a table with a recipe"),
        ('[plain]\nrecipe = "x"\nteacher = 1', "plain has teacher, which is unknown or of another kind"),
        ('[plain]\nrecipe = "x"\ncolour = "red"', "plain has colour"),
        ("[plain]\nrecipe = 3", "plain has recipe"),
        ('[plain]\nrecipe = "x"\nover = "other"', 'plain is over "other", which is not an arm'),
        ('["../plain"]\nrecipe = "x"', 'name "../plain" must be of letters'),
    ],
)
def test_arms_of_another_form_are_refused(text, message, tmp_path):
    (tmp_path / "arms.toml").write_text(text)
    with pytest.raises(TrainingError, match="arms arms.toml") as refused:
        read_arms(tmp_path / "arms.toml")
    assert message in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(TrainingError, match="none.toml cannot be read"):
        read_arms(tmp_path / "none.toml")
