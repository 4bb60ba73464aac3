"""Measure what a precision and a runtime cost a model's AUC, and write it into its model card.

Exports the model in every precision, as a user would (INT8 calibrated on 100 studies of the train split, the
gate on the val split), runs each engine in every runtime that works here over the val and test splits, and
compares with the FP32 engine in the same runtime, on the same drawn patients.

    python benchmarks/engine_accuracy.py --data ../shared/data/nih_cxr/metadata.csv [--model examples/models/demo]
"""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine
from alta_runtimes import RuntimeUnavailable, available
from alta_sdk import Matcher, __version__
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.engine.processor import processor_name
from alta_sdk.engine.vectors import Vector
from alta_sdk.errors import ExportError
from alta_sdk.files.atomic import new_file
from alta_sdk.files.opening import read_text
from alta_training.data.labelled import LabelledRadiograph, read_labelled
from alta_training.evaluation.card_sections import BY_PATIENT, CURVE_HEADING
from alta_training.evaluation.encoders import BundleEncoder
from alta_training.evaluation.metrics import measure_auc, measure_auc_loss
from alta_training.evaluation.zero_shot import score_pair

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
SPLITS = ("val", "test")
SAMPLES = 100
HEADING = "## Zero-shot AUC through engines"
PATH = click.Path(path_type=Path)


Split = Sequence[LabelledRadiograph]


@dataclass(frozen=True, eq=False)
class Measured:
    """One engine in one runtime: its scores (n,) of each split's radiographs, or why it does not run here."""

    precision: str
    runtime: str
    scores: Mapping[str, Vector]
    reason: str = ""


def export(model: Path, data: Path, precision: str, output: Path) -> Path:
    """Export a model's folder in one precision; INT8 is calibrated on the train split."""
    options = ExportOptions(
        model / f"{model.name}.safetensors",
        model / "text-model",
        output,
        precision=precision,
        calibration=data if precision == "int8" else None,
        calibration_split="train" if precision == "int8" else None,
        calibration_samples=SAMPLES,
        held_out=data,
        held_out_split="val",
    )
    return export_engine(options, lambda _: contextlib.nullcontext()).path


def measure(bundle: Path, precision: str, runtime: str, splits: Mapping[str, Split], finding: str) -> Measured:
    """Score the radiographs of each split with one engine in one runtime."""
    try:
        matcher = Matcher(bundle, runtime=runtime, fusion_mode="frontal")
    except RuntimeUnavailable as error:
        return Measured(precision, runtime, {}, shorten(error))
    encoder = BundleEncoder(matcher)
    scores = {name: score_pair(encoder, radiographs, finding) for name, radiographs in splits.items()}
    return Measured(precision, runtime, scores)


def shorten(error: Exception) -> str:
    """Return what an error says before its advice."""
    return str(error).partition(";")[0]


def render(rows: Sequence[Measured], splits: Mapping[str, Split], finding: str) -> str:
    """Write the section of the card: for each engine and split its AUC and, against FP32, its loss."""
    reference = {row.runtime: row.scores for row in rows if row.precision == "fp32"}
    lines = [
        HEADING,
        "",
        f"The same task ({finding}), by engines of alta-sdk {__version__} on {processor_name()}: the AUC, and the loss "
        "against the FP32 engine in the same runtime (negative: the AUC is higher). Both engines' scores are measured "
        "on the same drawn patients, so the loss has an interval of its own. "
        f"{BY_PATIENT} INT8 is calibrated on {SAMPLES} radiographs of the train split.",
        "",
        f"| precision | runtime | {' | '.join(f'{name} AUC | {name} loss' for name in splits)} |",
        f"|---|---|{'---|---|' * len(splits)}",
    ]
    for row in rows:
        cells = [row.precision, row.runtime]
        for name, radiographs in splits.items():
            cells += compare(radiographs, row.scores.get(name), reference.get(row.runtime, {}).get(name))
        lines.append(f"| {' | '.join(cells)} |")
    reasons = dict.fromkeys(f"{row.precision} in {row.runtime}: {row.reason}." for row in rows if row.reason)
    return "\n".join([*lines, *(("", "Not run here: " + " ".join(reasons)) if reasons else ()), ""])


def compare(radiographs: Split, scores: Vector | None, reference: Vector | None) -> tuple[str, str]:
    """Write the AUC of scores (n,) and its loss against those of a reference, both with intervals by patient."""
    if scores is None:
        return "not run", ""
    truth = np.array([radiograph.is_positive for radiograph in radiographs])
    patients = np.array([radiograph.patient for radiograph in radiographs])
    auc = str(measure_auc(truth, scores, groups=patients))
    if reference is None or scores is reference:
        return auc, "–" if reference is None else "reference"
    loss = measure_auc_loss(truth, reference, scores, groups=patients)
    value, low, high = (f"{round(bound, 4) + 0.0:.4f}" for bound in (loss.value, loss.low, loss.high))  # no -0.0000
    return auc, f"{value} ({low} to {high})"


def insert(card: str, section: str) -> str:
    """Put the section in place of an older one, else before the curve of the epochs, else at the card's end."""
    before, found, rest = card.partition(f"{HEADING}\n")
    if found:
        after = rest.partition("\n## ")[2]
        return f"{before}{section}" + (f"\n## {after}" if after else "")
    before, curve, rest = card.partition(f"{CURVE_HEADING}\n")
    return f"{before}{section}\n{curve}{rest}" if curve else f"{card.rstrip()}\n\n{section}"


@click.command()
@click.option("--data", required=True, type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--model", default=Path("examples/models/demo"), type=PATH, help="The model's folder, with its card.")
@click.option("--finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@fail_in_one_line
def main(data: Path, model: Path, finding: str) -> None:
    """Measure every precision in every runtime that works here, and write the table into the model's card."""
    runtimes = [info.name for info in available() if info.is_available]
    splits = {name: read_labelled(data, split=name, finding=finding) for name in SPLITS}
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            try:
                bundle = export(model, data, precision, Path(folder) / f"{precision}.alta")
            except (RuntimeUnavailable, ExportError) as error:
                rows += [Measured(precision, runtime, {}, shorten(error)) for runtime in runtimes]
                continue
            rows += [measure(bundle, precision, runtime, splits, finding) for runtime in runtimes]
            say(f"{precision}: measured in {', '.join(runtimes)}")
    section = render(rows, splits, finding)
    card = model / "README.md"
    text = insert(read_text(card), section)
    with new_file(card) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(section)


if __name__ == "__main__":
    main()
