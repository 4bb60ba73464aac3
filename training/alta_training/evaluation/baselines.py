"""What a model is held against: logistic regressions that see no text, fitted on the train split.

One reads the radiograph's pixels. The other reads what the model's own frozen backbone makes of it, so
that what the backbone knew already is not taken for what alignment has taught.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from alta_sdk import Slot
from alta_sdk.errors import TrainingError
from alta_sdk.study.study import load_study

from ..data.labelled import LabelledRadiograph
from .cross_validation import Fold
from .encoders import CheckpointEncoder
from .metrics import Figures
from .zero_shot import describe_scores

BASELINE_PX = 48
BASELINE_COMPONENTS = 80
STRENGTH = 1e-3  # C of the regressions: strongly regularised, since radiographs are few
PIXELS, FROZEN = "baseline", "frozen features"  # the protocols' names
Radiographs = Sequence[LabelledRadiograph]
Score = Callable[[Radiographs], NDArray[np.floating[Any]]]


def evaluate_baseline(train: Radiographs, test: Radiographs, *, seed: int = 0) -> Figures:
    """Return the figures of `evaluate_labelled` for the pixel baseline."""
    return describe_scores(PIXELS, test, fit_pixels(train)(test), seed=seed)


def evaluate_frozen(encoder: CheckpointEncoder, train: Radiographs, test: Radiographs, *, seed: int = 0) -> Figures:
    """Return the figures of `evaluate_labelled` for the baseline on frozen features."""
    return describe_scores(FROZEN, test, fit_frozen(encoder, train)(test), seed=seed)


def fit_pixels(train: Radiographs) -> Score:
    """Fit logistic regression (C = 1e-3) on 80 principal components of 48 × 48 pixels; return what scores.

    Each pixel is standardised over the training radiographs: without that the test split of the
    project's NIH sample gives an AUC lower by 0.026, and a baseline should be a strong one.
    Raises TrainingError for fewer training radiographs than components.
    """
    if len(train) < BASELINE_COMPONENTS:
        raise TrainingError(f"the baseline needs {BASELINE_COMPONENTS} training radiographs: there are {len(train)}")
    steps = (PCA(BASELINE_COMPONENTS, random_state=0),)
    return _fit(_small_pixels, steps, train)


def fit_frozen(encoder: CheckpointEncoder, train: Radiographs) -> Score:
    """Fit logistic regression (C = 1e-3) on standardised features of the frozen backbone; return what scores.

    See `CheckpointEncoder.embed_frozen` for the features.
    """
    return _fit(lambda radiographs: encoder.embed_frozen([one.path for one in radiographs]), (), train)


def score_folds_on_pixels(radiographs: Radiographs, folds: Sequence[Fold]) -> list[NDArray[np.float64]] | None:
    """Score each fold's held-out radiographs by the pixel baseline fitted on its others.

    None if a fold trains on fewer radiographs than the baseline has components.
    """
    if min(len(fold.train) for fold in folds) < BASELINE_COMPONENTS:
        return None
    return _score_folds(_small_pixels(radiographs), (PCA(BASELINE_COMPONENTS, random_state=0),), radiographs, folds)


def score_folds_on_features(
    encoder: CheckpointEncoder, radiographs: Radiographs, folds: Sequence[Fold]
) -> list[NDArray[np.float64]]:
    """Score each fold's held-out radiographs by the baseline on frozen features fitted on its others."""
    return _score_folds(encoder.embed_frozen([one.path for one in radiographs]), (), radiographs, folds)


def _score_folds(
    rows: NDArray[Any], steps: Sequence[Any], radiographs: Radiographs, folds: Sequence[Fold]
) -> list[NDArray[np.float64]]:
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    models = [(_make_regression(steps).fit(rows[fold.train], truth[fold.train]), fold) for fold in folds]
    return [np.asarray(model.decision_function(rows[fold.held_out])) for model, fold in models]


def _make_regression(steps: Sequence[Any]) -> Any:
    own = [clone(step) for step in steps]  # else each fold's fit would change what the folds before it score with
    return make_pipeline(StandardScaler(), *own, LogisticRegression(C=STRENGTH, max_iter=5000))


def _fit(read: Callable[[Radiographs], NDArray[Any]], steps: Sequence[Any], train: Radiographs) -> Score:
    model = _make_regression(steps)
    model.fit(read(train), [radiograph.is_positive for radiograph in train])
    return lambda radiographs: np.asarray(model.decision_function(read(radiographs)))


def _small_pixels(radiographs: Radiographs) -> NDArray[np.float64]:
    """Return whole radiographs (n, 48 · 48), grey 0 to 1."""
    rows = []
    for radiograph in radiographs:
        study = load_study(radiograph.path, any_body_part=True, any_view=True, any_picture=True)
        grey = study.radiographs[Slot.FRONTAL].grey_u8
        small = Image.fromarray(grey).convert("L").resize((BASELINE_PX, BASELINE_PX), Image.Resampling.BILINEAR)
        rows.append(np.asarray(small, dtype=np.float64).ravel() / 255)
    return np.stack(rows)
