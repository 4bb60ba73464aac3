"""The `alta-export` command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from alta_sdk import __version__
from alta_sdk.cli.terminal import fail_in_one_line, print_facts, print_table, say, show_debug_log
from alta_sdk.dicom.intensity import PROFILES
from alta_sdk.engine.plans import RUNTIME as TENSORRT
from alta_sdk.engine.plans import build_bundle

from .demo_model import find_inputs
from .options import DEFAULT_SAMPLES, ENGINES, METHODS, PRECISIONS, ExportOptions, default_precision

if TYPE_CHECKING:
    from .pipeline import ExportReport

NEEDS = ("torch", "onnx", "onnxscript", "timm", "transformers", "safetensors")

SLOWER = ("slower than FP32", "on this machine: it saves memory alone here")
PATH = click.Path(path_type=Path)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="[build NAME.alta]",
)
@click.version_option(__version__, prog_name="alta-export")
@click.option(
    "--checkpoint",
    type=PATH,
    help="ALTA.pth, or our .safetensors. [default: the repository's demo model]",
)
@click.option(
    "--text-model",
    type=PATH,
    help="The BERT folder the text tower was trained from. [default: text-model beside the checkpoint]",
)
@click.option(
    "--output",
    type=PATH,
    help="The engine to write: NAME.alta. [default: of the checkpoint's name, here]",
)
@click.option("--engine", type=click.Choice(ENGINES), default="onnx", show_default=True, help="Kind of engine.")
@click.option(
    "--precision", type=click.Choice(PRECISIONS), help="Number format. [default: fp32; fp16 with --engine trt]"
)
@click.option(
    "--fusion-mode",
    type=click.Choice(["frontal", "present", "published"]),
    default="frontal",
    show_default=True,
    help="How a study's radiographs become one vector, unless a Matcher says otherwise.",
)
@click.option(
    "--intensity-profile",
    type=click.Choice(PROFILES),
    help=f"How stored DICOM values become grey. [default: the checkpoint's word, else {PROFILES[0]}]",
)
@click.option(
    "--image-heads",
    type=click.IntRange(min=1),
    help="Attention heads of the image tower. [default: the checkpoint's word, or the text model's head size]",
)
@click.option("--name", help="The engine's name in tables. [default: the output's]")
@click.option(
    "--calibration",
    type=PATH,
    metavar="FOLDER|CSV",
    help="Studies (DICOM, JPEG, PNG) that INT8 is calibrated on: a folder, or a table with image or image_path.",
)
@click.option("--calibration-split", help="Its rows to take, by the column split. [default: all]")
@click.option(
    "--calibration-method",
    type=click.Choice(METHODS),
    default=METHODS[0],
    show_default=True,
    help="How ranges are found.",
)
@click.option(
    "--calibration-samples",
    type=click.IntRange(min=1),
    default=DEFAULT_SAMPLES,
    show_default=True,
    help="Studies to take at most.",
)
@click.option(
    "--calibration-cache",
    type=PATH,
    help="calibration.json to read instead of calibrating, or to write if it is not there.",
)
@click.option(
    "--held-out",
    type=PATH,
    metavar="FOLDER|CSV",
    help="Studies that the drift is measured on. [default: every fifth of --calibration, else synthetic images]",
)
@click.option("--held-out-split", help="Its rows to take, by the column split. [default: all]")
@click.option("--finding", default="Pneumonia", show_default=True, help="For the AUC, where a table tells findings.")
@click.option("--accept-drift", is_flag=True, help="Write an engine beyond the limits; its manifest says so.")
@click.option("--defer-build", is_flag=True, help="trt: write a bundle that is built on the GPU that will run it.")
@click.option("--max-batch", type=click.IntRange(min=1), help="trt: radiographs at once at most. [default: 16]")
@click.option(
    "--workspace",
    "workspace_mib",
    type=click.IntRange(min=1),
    metavar="MIB",
    help="trt: memory that one layer may use while it runs. [default: the GPU's]",
)
@click.option("--overwrite", is_flag=True, help="Replace an engine that is already there.")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.pass_context
@fail_in_one_line
def main(
    context: click.Context,
    /,
    debug: bool,
    checkpoint: Path | None,
    text_model: Path | None,
    output: Path | None,
    **options: Any,
) -> None:
    """Merge a checkpoint's adapters and write an engine that the SDK runs without torch.

    Without --checkpoint the small demo model of the repository is exported.

    The graphs are compared with PyTorch before anything is written; an engine that differs is not.
    """
    if debug:
        show_debug_log()
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        say(f"ExportError: {', '.join(missing)} not installed: pip install 'alta-sdk[export]'")
        sys.exit(1)
    from .pipeline import export_engine

    inputs = find_inputs(checkpoint, text_model, output)
    if checkpoint is None:
        say(f"no --checkpoint: exporting the demo model to {inputs[2]}")
    options["precision"] = options["precision"] or default_precision(options["engine"])
    report = export_engine(ExportOptions(*inputs, **options), show_stage)
    show_report(report)


def refuse_options(context: click.Context) -> None:
    """Raise UsageError if an option of the export stands before a subcommand, which would not see it."""
    given = [name for name in context.params if context.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if set(given) - {"debug"}:
        raise click.UsageError(f"{context.invoked_subcommand} takes no option of the export")


@main.command()
@click.argument("engine", metavar="NAME.alta", type=PATH)
@click.option("--rebuild", is_flag=True, help="Build again: for another GPU, or another TensorRT.")
@fail_in_one_line
def build(engine: Path, rebuild: bool) -> None:
    """Build a TensorRT engine whose build was deferred, on the GPU that will run it.

    Who comes second finds it built. Needs no torch: pip install 'alta-sdk[trt-build]'.
    """
    with show_stage("Build TensorRT engine"):
        manifest = build_bundle(engine, rebuild=rebuild)
    built = manifest.engine[TENSORRT]["built"]
    print_facts(
        f"Engine {manifest.name}",
        [
            ("precision", manifest.engine["precision"]),
            *(
                (f"{name} layers", ", ".join(f"{count} {kind}" for kind, count in layers.items()))
                for name, layers in built["layers"].items()
            ),
            *built["origin"].items(),
            ("engine sha256", manifest.sha256),
        ],
    )


@contextmanager
def show_stage(name: str) -> Iterator[None]:
    """Show a progress bar on standard error as long as a stage lasts."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)
        yield
        progress.update(task, total=1, completed=1)


def show_report(report: "ExportReport") -> None:
    """Print sizes, parity, time per radiograph and where the bundle is."""
    manifest = report.manifest
    merging = manifest.merging
    print_table(
        "Merging (one radiograph, one prompt of 32 tokens)",
        ["tower", "parameters before", "after", "multiply-adds before", "after"],
        [
            (
                tower,
                *(
                    f"{merging[f'{tower}_{when}'][what]:,}"
                    for what in ("parameters", "multiply_adds")
                    for when in ("before", "after")
                ),
            )
            for tower in ("image", "text")
        ],
    )
    print_table(
        "Parity with PyTorch float32",
        ["output", "rows", "worst cosine", "max abs difference", "limit"],
        [
            (d.output, d.rows, f"{d.worst_cosine:.8f}", f"{d.max_abs:.1e}", f"{d.max_abs_limit:.0e}")
            for d in report.drifts
        ],
    )
    show_gate(report)
    print_table("Files", ["file", "bytes"], [(file.name, f"{file.size:,}") for file in manifest.files])
    for notice in manifest.notices:
        say(notice)
    print_facts(
        f"Engine {manifest.name}",
        [
            ("precision", manifest.engine["precision"]),
            ("fusion mode", manifest.fusion_mode),
            ("intensity profile", manifest.intensity_profile),
            ("image heads", manifest.sizes["image_heads"]),
            *show_time(report),
            *((SLOWER,) if is_slower(report) else ()),
            ("bundle", report.path),
        ],
    )


def show_time(report: "ExportReport") -> list[tuple[str, str]]:
    """Say how long a radiograph takes, or how the engine gets built."""
    if report.radiograph_s is None:
        return [("not built yet", "on the GPU that will run it: alta-export build NAME.alta")]
    return [("time per radiograph", f"{1000 * report.radiograph_s:.1f} ms on this machine")]


def show_gate(report: "ExportReport") -> None:
    """Print what the lower precision costs on the held-out radiographs, and what it brings."""
    lowered = report.lowered
    drift, limits = lowered.drift, lowered.gate["limits"]
    rows = [
        (f"{graph} cosine, {kind}", f"{getattr(drift, f'{graph}_{kind}_cosine'):.6f}", limits[f"{kind}_cosine"])
        for graph in ("image", "text")
        for kind in ("mean", "worst")
    ]
    rows += [("largest shift of a score", f"{drift.max_score_shift:.4f}", "-")]
    rows += [("flipped decisions", f"{100 * drift.flipped_share:.2f} %", "-")]
    if drift.auc_reference is not None and drift.auc_engine is not None:
        rows += [
            ("AUC, FP32 and this engine", f"{drift.auc_reference:.4f}, {drift.auc_engine:.4f}", limits["auc_loss"])
        ]
    print_table(
        f"Drift from FP32 on {drift.radiographs} radiographs ({lowered.gate['held_out']}), {drift.prompts} prompts",
        ["figure", "measured", "limit"],
        rows,
    )
    for graph, found in (("image", lowered.image), ("text", lowered.text)):
        if found.plan.kept:
            say(f"{graph}: kept in FP32, since they drift most: {', '.join(sorted(found.plan.kept))}")


def is_slower(report: "ExportReport") -> bool:
    """Tell whether an engine of lower precision is not faster than FP32 on this machine."""
    times, precision = report.lowered.milliseconds, report.manifest.engine["precision"]
    return bool(precision != "fp32" and times and times[precision] >= times["fp32"])
