"""The published evaluation protocols, for any Encoder; `zero_shot.py` has our own on a labelled table.

Every figure is a number by a name; intervals are 95 % bootstraps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from alta_sdk.engine.label_sets import Label
from alta_sdk.engine.vectors import Vector
from alta_sdk.matching.prompts import build_label_sets, clean_report_text

from .encoders import Encoder, embed_label, embed_reports
from .metrics import Figures, choose_threshold, measure_accuracy, measure_auc, precision_at, score_at
from .protocol_files import CHEXPERT5, Example, read_candidates, read_chexpert5, read_queries, read_rsna

FOLDS = 10
RSNA, RSNA_SETS = "RSNA Pneumonia", ("rsna", "rsna-ensemble")  # the protocol, and sets of prompts for it
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


def evaluate_rsna(
    encoder: Encoder, folder: Path, *, published_threshold: bool = False, seed: int = 0, prompts: str = RSNA_SETS[0]
) -> Figures:
    """Return AUC, accuracy and F1 for pneumonia; the threshold is of the best F1 on val_list.txt.

    published_threshold: choose it by ten folds inside the test set, as the published script does.
    prompts: the family's pair ("rsna"), or another of its label sets for pneumonia.
    """
    test = read_rsna(folder / "test_list.txt")
    label = encoder.asking.list_label_sets()[prompts]["pneumonia"]
    truth, score = _score_rsna(encoder, test, label)
    auc = measure_auc(truth, score, seed=seed)
    figures: Figures = {
        "protocol": RSNA if prompts == RSNA_SETS[0] else f"{RSNA}, {prompts}",
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
    threshold = choose_threshold(*_score_rsna(encoder, read_rsna(folder / "val_list.txt"), label))
    return figures | score_at(truth, score, threshold) | {"threshold": threshold, "note": "threshold from val_list.txt"}


def _score_rsna(
    encoder: Encoder, examples: Sequence[Example], label: Label
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
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
