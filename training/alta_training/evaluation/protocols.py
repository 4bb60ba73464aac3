"""The published evaluation protocols, and our own on a labelled table, for any Encoder.

Every figure is a number by a name; intervals are 95 % bootstraps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from alta_sdk import Slot
from alta_sdk.engine.vectors import Vector
from alta_sdk.errors import TrainingError
from alta_sdk.matching.prompts import build_label_sets, clean_report_text, make_pair
from alta_sdk.study.study import load_study

from ..data.labelled import LabelledRadiograph
from .encoders import Encoder, embed_label, embed_reports
from .metrics import choose_threshold, measure_accuracy, measure_auc, precision_at, score_at
from .protocol_files import CHEXPERT5, Example, read_candidates, read_chexpert5, read_queries, read_rsna

Figures = dict[str, Any]
FOLDS = 10
BASELINE_PX = 48
BASELINE_COMPONENTS = 80
INSIDE_TEST = "threshold chosen inside the test set (published script), for comparison only"


def evaluate_chexpert5(encoder: Encoder, table: Path, root: Path | None = None) -> Figures:
    """Return zero-shot accuracy over five classes and P@5, 10, 100 of radiograph to report."""
    examples = read_chexpert5(table, root)
    radiographs = encoder.embed_radiographs(_paths(examples))
    labels = build_label_sets()["chexpert5"]
    classes = np.stack([embed_label(encoder, labels[name].positive) for name in CHEXPERT5])
    truth = np.array([CHEXPERT5.index(example.label) for example in examples])
    accuracy = measure_accuracy((radiographs @ classes.T).argmax(axis=1) == truth)
    reports = embed_reports(encoder, [clean_report_text(example.text) for example in examples])
    similarity = radiographs @ reports.T
    return {
        "protocol": "CheXpert 5×200",
        "radiographs": len(examples),
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        **_precisions("", similarity, truth, truth, (5, 10, 100)),
    }


def evaluate_chexpert8(encoder: Encoder, folder: Path, root: Path | None = None) -> Figures:
    """Return P@5, 10, 50 of radiograph to radiograph and of text to radiograph."""
    figures: Figures = {"protocol": "CheXpert 8×200"}
    for kind in ("image", "text"):
        own = folder / f"{kind}-retrieval"
        queries = read_queries(own / "query.csv", root or own)
        candidates = read_candidates(own / "candidate.csv", root or own)
        if queries[0].path is not None:
            asked = encoder.embed_radiographs(_paths(queries))
        else:
            asked = embed_reports(encoder, [query.text for query in queries])
        similarity = asked @ encoder.embed_radiographs(_paths(candidates)).T
        wanted, offered = (np.array([example.label for example in part]) for part in (queries, candidates))
        figures |= _precisions(f"{kind}_", similarity, wanted, offered, (5, 10, 50))
        figures[f"{kind}_queries"], figures[f"{kind}_candidates"] = len(queries), len(candidates)
    return figures


def evaluate_rsna(encoder: Encoder, folder: Path, *, published_threshold: bool = False, seed: int = 0) -> Figures:
    """Return AUC, accuracy and F1 for pneumonia; the threshold is of the best F1 on val_list.txt.

    published_threshold: choose it by ten folds inside the test set, as the published script does.
    """
    test = read_rsna(folder / "test_list.txt")
    truth, score = _score_rsna(encoder, test)
    auc = measure_auc(truth, score, seed=seed)
    figures: Figures = {
        "protocol": "RSNA Pneumonia",
        "radiographs": len(test),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
    }
    if published_threshold:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(score, truth)
        parts = [score_at(truth[own], score[own], choose_threshold(truth[rest], score[rest])) for rest, own in folds]
        return (
            figures
            | {name: float(np.mean([part[name] for part in parts])) for name in ("accuracy", "f1")}
            | {"note": INSIDE_TEST}
        )
    threshold = choose_threshold(*_score_rsna(encoder, read_rsna(folder / "val_list.txt")))
    return figures | score_at(truth, score, threshold) | {"threshold": threshold, "note": "threshold from val_list.txt"}


def evaluate_labelled(
    encoder: Encoder, radiographs: Sequence[LabelledRadiograph], finding: str, *, seed: int = 0
) -> Figures:
    """Return the zero-shot AUC of "There is …" / "There is no …", whole and within each view.

    Whole patients are drawn for the interval. view_alone: the AUC of guessing by PA against the rest.
    """
    return {"protocol": "labelled table", **_describe(radiographs, score_pair(encoder, radiographs, finding), seed)}


def evaluate_baseline(
    train: Sequence[LabelledRadiograph], test: Sequence[LabelledRadiograph], *, seed: int = 0
) -> Figures:
    """Return the same figures for logistic regression (C = 1e-3) on 80 principal components of 48 × 48 pixels.

    Each pixel is standardised over the training radiographs: without that the test split of the
    project's NIH sample gives an AUC lower by 0.026, and a baseline should be a strong one.
    """
    model = make_pipeline(
        StandardScaler(), PCA(BASELINE_COMPONENTS, random_state=0), LogisticRegression(C=1e-3, max_iter=5000)
    )
    if len(train) < BASELINE_COMPONENTS:
        raise TrainingError(f"the baseline needs {BASELINE_COMPONENTS} training radiographs: there are {len(train)}")
    model.fit(_small_pixels(train), [radiograph.is_positive for radiograph in train])
    return {"protocol": "baseline", **_describe(test, model.decision_function(_small_pixels(test)), seed)}


def score_pair(encoder: Encoder, radiographs: Sequence[LabelledRadiograph], finding: str) -> Vector:
    """Return the cosine with "There is …" less that with "There is no …": (n,)."""
    label = make_pair(finding.replace("_", " ").lower())
    vectors = encoder.embed_radiographs([radiograph.path for radiograph in radiographs])
    return np.asarray(vectors @ (embed_label(encoder, label.positive) - embed_label(encoder, label.negative)))


def _describe(radiographs: Sequence[LabelledRadiograph], score: NDArray[np.floating[Any]], seed: int) -> Figures:
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    patients = np.array([radiograph.patient for radiograph in radiographs])
    views = np.array([radiograph.view for radiograph in radiographs])
    auc = measure_auc(truth, score, groups=patients, seed=seed)
    figures: Figures = {
        "radiographs": len(truth),
        "positive": int(truth.sum()),
        "patients": len(set(patients)),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
    }
    for view in sorted(set(views) - {""}):
        own = views == view
        if truth[own].any() and not truth[own].all():
            within = measure_auc(truth[own], score[own], groups=patients[own], seed=seed)
            figures |= {f"auc_{view}": within.value, f"auc_{view}_low": within.low, f"auc_{view}_high": within.high}
    if len(set(views) - {""}) > 1:
        figures["auc_view_alone"] = measure_auc(truth, (views == "PA").astype(float), groups=patients, seed=seed).value
    return figures


def _score_rsna(encoder: Encoder, examples: Sequence[Example]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    label = make_pair("pneumonia")
    prompts = np.stack([embed_label(encoder, label.positive), embed_label(encoder, label.negative)])
    cosines = encoder.embed_radiographs(_paths(examples)).astype(np.float64) @ prompts.T
    # A softmax over the pair without temperature, as published.
    score = 1 / (1 + np.exp(cosines[:, 1] - cosines[:, 0]))
    return np.array([example.label == "1" for example in examples]), score


def _precisions(
    prefix: str, similarity: Vector, queries: NDArray[Any], candidates: NDArray[Any], ks: Sequence[int]
) -> Figures:
    return {f"{prefix}p{k}": precision_at(similarity, queries, candidates, k) for k in ks}


def _paths(examples: Sequence[Example]) -> list[Path]:
    return [example.path for example in examples if example.path is not None]


def _small_pixels(radiographs: Sequence[LabelledRadiograph]) -> NDArray[np.float64]:
    """Return whole radiographs (n, 48 · 48), grey 0 to 1."""
    rows = []
    for radiograph in radiographs:
        grey = load_study(radiograph.path, any_body_part=True, any_view=True).radiographs[Slot.FRONTAL].grey_u8
        small = Image.fromarray(grey).convert("L").resize((BASELINE_PX, BASELINE_PX), Image.Resampling.BILINEAR)
        rows.append(np.asarray(small, dtype=np.float64).ravel() / 255)
    return np.stack(rows)
