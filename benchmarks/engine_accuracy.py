"""Measure what a precision and a runtime cost a model's AUC, and write it into its model card.

Exports the model in every precision, as a user would (INT8 calibrated on 100 studies of the train split, the
gate on the val split), runs each engine in every runtime that works here over the val and test splits, and
compares with the FP32 engine in the same runtime.

    python benchmarks/engine_accuracy.py --data ../shared/data/nih_cxr/metadata.csv [--model examples/models/demo]
"""

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine
from alta_runtimes import RuntimeUnavailable, available
from alta_sdk import Matcher, __version__
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.engine.environment import processor_name
from alta_sdk.files.atomic import new_file
from alta_training.data.labelled import read_labelled
from alta_training.evaluation.card_sections import spell_interval
from alta_training.evaluation.encoders import BundleEncoder
from alta_training.evaluation.metrics import Figures
from alta_training.evaluation.zero_shot import evaluate_labelled

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
SPLITS = ("val", "test")
SAMPLES = 100
HEADING = "## Zero-shot AUC through engines"
NEXT = "## Validation over the epochs"
PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Measured:
    """One engine in one runtime: its figures by split, or why it does not run here."""

    precision: str
    runtime: str
    figures: dict[str, Figures]
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


def measure(bundle: Path, precision: str, runtime: str, data: Path, finding: str) -> Measured:
    """Take the AUC of one engine in one runtime on both splits."""
    try:
        matcher = Matcher(bundle, runtime=runtime, fusion_mode="frontal")
    except RuntimeUnavailable as error:
        return Measured(precision, runtime, {}, str(error).partition(";")[0])
    encoder = BundleEncoder(matcher)
    figures = {
        split: evaluate_labelled(encoder, read_labelled(data, split=split, finding=finding), finding)
        for split in SPLITS
    }
    return Measured(precision, runtime, figures)


def render(rows: list[Measured], finding: str) -> str:
    """Write the section of the card."""
    reference = {row.runtime: row.figures for row in rows if row.precision == "fp32"}
    lines = [
        HEADING,
        "",
        f"The same task ({finding}), by engines of alta-sdk {__version__} on {processor_name()}: the AUC with its "
        f"interval, and behind it the loss against the FP32 engine in the same runtime. INT8 is calibrated on "
        f"{SAMPLES} radiographs of the train split.",
        "",
        "| precision | runtime | val | loss | test | loss |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row.precision, row.runtime]
        for split in SPLITS:
            if row.figures:
                loss = reference[row.runtime][split]["auc"] - row.figures[split]["auc"]
                cells += [spell_interval(row.figures[split], "auc"), f"{loss + 0.0:.4f}"]
            else:
                cells += ["not run", ""]
        lines.append(f"| {' | '.join(cells)} |")
    reasons = dict.fromkeys(f"{row.precision} in {row.runtime}: {row.reason}." for row in rows if row.reason)
    return "\n".join([*lines, "", *(("Not run here: " + " ".join(reasons), "") if reasons else ()), ""])


def insert(card: str, section: str) -> str:
    """Put the section before the curve of the epochs, in place of an older one."""
    before, rest = card.split(NEXT, 1)
    return before.split(HEADING, 1)[0] + section + NEXT + rest


@click.command()
@click.option("--data", required=True, type=PATH, help="Labelled table: image, patient, view, findings, split.")
@click.option("--model", default=Path("examples/models/demo"), type=PATH, help="The model's folder, with its card.")
@click.option("--finding", default="Pneumonia", show_default=True, help="Against No Finding.")
@fail_in_one_line
def main(data: Path, model: Path, finding: str) -> None:
    """Measure every precision in every runtime that works here, and write the table into the model's card."""
    runtimes = [info.name for info in available() if info.is_available]
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            try:
                bundle = export(model, data, precision, Path(folder) / f"{precision}.alta")
            except RuntimeUnavailable as error:
                rows += [Measured(precision, runtime, {}, str(error).partition(";")[0]) for runtime in runtimes]
                continue
            rows += [measure(bundle, precision, runtime, data, finding) for runtime in runtimes]
            say(f"{precision}: measured in {', '.join(runtimes)}")
    section = render(rows, finding)
    card = model / "README.md"
    text = insert(card.read_text(encoding="utf-8"), section)
    with new_file(card) as temporary:
        temporary.write_text(text, encoding="utf-8")
    click.echo(section)


if __name__ == "__main__":
    main()
