"""The runs of a comparison: each is what pair and fit do on the other folds, scored on those that are left.

The only module of the commands that imports torch: it runs commands, which none of the rooms below knows.
"""

import contextlib
import csv
import hashlib
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

import alta_start
from alta_sdk.cli.terminal import say, show_progress
from alta_sdk.engine.bundle import hash_file
from alta_sdk.errors import TrainingError
from alta_sdk.files.atomic import new_file
from alta_sdk.files.opening import read_text

from ..data.labelled import LabelledRadiograph
from ..data.sentences import WORDINGS
from ..data.tables import find_image_folder, read_rows
from ..evaluation.arms import Arm
from ..evaluation.baselines import BASELINE_COMPONENTS, score_folds_on_features, score_folds_on_pixels
from ..evaluation.cross_validation import Fold, compare_arms, divide, render_arms
from ..evaluation.encoders import CheckpointEncoder, open_encoder
from ..evaluation.zero_shot import score_pair
from .comparison import BASELINES, ON_FEATURES, ON_PIXELS, Comparison
from .fit import fit
from .pair import pair


def compare(
    comparison: Comparison,
    arms: Sequence[Arm],
    radiographs: list[LabelledRadiograph],
    folds: int,
    seeds: int,
    jobs: int,
) -> str:
    """Run every arm on every fold of every division that is not stored yet; return the table in Markdown."""
    divided = divide(radiographs, folds, range(seeds))
    comparison.output.mkdir(parents=True, exist_ok=True)
    scores = _run_all(comparison, arms, divided, radiographs, jobs)
    scores = {**_score_baselines(comparison, arms[0], divided, radiographs), **scores}
    if ON_PIXELS not in scores:
        say(f"the pixel baseline is left out: each fold would have to train on {BASELINE_COMPONENTS} radiographs")
    figures = compare_arms(radiographs, divided, scores, {arm.name: arm.over for arm in arms if arm.over})
    return render_arms(figures, BASELINES | {arm.name: arm.what for arm in arms})


def _run_all(
    comparison: Comparison, arms: Sequence[Arm], folds: Sequence[Fold], radiographs: list[LabelledRadiograph], jobs: int
) -> dict[str, list[NDArray[np.float64]]]:
    todo = [(arm, fold) for fold in folds for arm in arms]
    context = multiprocessing.get_context("spawn")  # a fork would share torch's threads
    with ProcessPoolExecutor(jobs, context, alta_start.begin, ("__mp_main__",)) as pool:
        waiting = [pool.submit(run_arm, comparison, arm, fold, radiographs) for arm, fold in todo]
        try:
            done = [one.result() for one in show_progress(waiting, len(todo), "runs")]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return {arm.name: [own for (one, _), own in zip(todo, done, strict=True) if one.name == arm.name] for arm in arms}


def run_arm(
    comparison: Comparison, arm: Arm, fold: Fold, radiographs: Sequence[LabelledRadiograph]
) -> NDArray[np.float64]:
    """Train an arm on a fold's training patients and score those held out; what is stored is not run again."""
    torch.set_num_threads(1)

    def train_and_score() -> list[float]:
        held_out = [radiographs[row] for row in fold.held_out]
        with TemporaryDirectory() as folder, _log_to(comparison):
            run = _train(comparison, arm, fold, {one.patient for one in held_out}, Path(folder))
            scores = score_pair(open_encoder(run / "last.safetensors"), held_out, comparison.finding)
        return [float(score) for score in scores]

    digest = _digest(comparison, arm, [fold], radiographs)
    return np.array(_keep(comparison.output / f"{arm.name}-{fold.seed}-{fold.number}-{digest}.json", train_and_score))


def _keep(file: Path, compute: Callable[[], Any]) -> Any:
    """Return what a file has; what is not there yet is computed, and kept in it."""
    if not os.path.isfile(file):
        content = json.dumps(compute())
        with new_file(file) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return json.loads(read_text(file))


@contextlib.contextmanager
def _log_to(comparison: Comparison) -> Iterator[None]:
    """Keep what a run says for log.txt, where it comes in one piece: other jobs write there, too."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield
    finally:
        with (comparison.output / "log.txt").open("a", encoding="utf-8") as log:
            log.write(said.getvalue())


def _train(comparison: Comparison, arm: Arm, fold: Fold, held_out: set[str], folder: Path) -> Path:
    """Run pair and fit on the radiographs of all other patients; return the run's folder."""
    rows = read_rows(comparison.radiographs, ("split", "patient"))
    kept = [row for row in rows if row["split"] in comparison.splits and row["patient"] not in held_out]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    images = find_image_folder(comparison.radiographs)
    table = [
        "--radiographs",
        folder / "labels.csv",
        "--images",
        images,
        "--output",
        folder / "train.csv",
        "--no-priors",
    ]
    texts = ["--reports", comparison.reports, "--finding-sentences"] if arm.reports else []
    _call(pair, *table, *texts, "--reports-per-radiograph", comparison.rows)
    overrides = [f"--set={item}" for item in (*arm.overrides, f"seed={fold.seed * 100 + fold.number}")]
    paths = ["--data", folder / "train.csv", "--backbone", comparison.backbone.resolve(), "--cache", comparison.cache]
    paths += ["--teacher", comparison.teacher] if arm.teacher else []
    _call(fit, *paths, "--output", folder / "run", "--recipe", arm.recipe, "--device", "cpu", *overrides)
    return folder / "run"


def _call(command: click.Command, *arguments: object) -> None:
    try:
        command.main([str(argument) for argument in arguments], standalone_mode=False)
    except SystemExit as error:
        raise TrainingError(f"{command.name} failed: its message is the last of log.txt in --output") from error


def _digest(comparison: Comparison, arm: Arm, folds: Sequence[Fold], radiographs: Sequence[LabelledRadiograph]) -> str:
    """Name everything that a score depends on, so that a changed recipe, or another division, is run anew."""
    read = [comparison.backbone, comparison.radiographs, arm.recipe, WORDINGS]
    read += [comparison.reports] if arm.reports and comparison.reports else []
    read += [comparison.teacher] if arm.teacher and comparison.teacher else []
    held_out = [[radiographs[row].path.name for row in fold.held_out] for fold in folds]
    parts = [*(hash_file(file) for file in read), arm.overrides, arm.reports, arm.teacher]
    parts += [comparison.splits, comparison.finding, comparison.rows, [fold.seed for fold in folds], held_out]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _score_baselines(
    comparison: Comparison, arm: Arm, folds: Sequence[Fold], radiographs: Sequence[LabelledRadiograph]
) -> dict[str, list[NDArray[np.float64]]]:
    """Score the regressions on the same folds; the frozen tower is that of the first arm, untrained.

    It comes from a run at rate 0 on one fold's patients: few, since whom it sees changes no weight of the tower.
    """
    still = replace(arm, overrides=(*arm.overrides, "epochs=1", "looks=0", "base_learning_rate=0"))
    others = {radiographs[row].patient for row in folds[0].train}

    def fit_and_score() -> dict[str, list[list[float]]]:
        with TemporaryDirectory() as folder, _log_to(comparison):
            encoder = open_encoder(_train(comparison, still, folds[0], others, Path(folder)) / "last.safetensors")
            assert isinstance(encoder, CheckpointEncoder)
            on_features = score_folds_on_features(encoder, radiographs, folds)
        on_pixels = score_folds_on_pixels(radiographs, folds)
        scored = {} if on_pixels is None else {ON_PIXELS: on_pixels}
        return {name: [own.tolist() for own in part] for name, part in {**scored, ON_FEATURES: on_features}.items()}

    kept = _keep(comparison.output / f"baselines-{_digest(comparison, arm, folds, radiographs)}.json", fit_and_score)
    return {name: [np.array(own) for own in part] for name, part in kept.items()}
