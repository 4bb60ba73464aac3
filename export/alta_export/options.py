"""What an export is asked to do, refused before any work starts if this version cannot do it."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alta_runtimes.tensorrt_build import find_builder
from alta_sdk import __version__
from alta_sdk.engine.manifest_content import product_type
from alta_sdk.engine.own_files import list_bundle_files
from alta_sdk.engine.signature import read_private_key
from alta_sdk.errors import CalibrationError, ExportError, RuntimeUnavailable
from alta_sdk.files.folders import check_folder
from alta_sdk.files.targets import refuse_inputs

ENGINES = ("onnx", "trt", "openvino")
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-bf16")
METHODS = ("minmax", "percentile", "entropy", "mse")
SUPPORTED = {"onnx": PRECISIONS, "openvino": PRECISIONS, "trt": PRECISIONS[:-1]}  # TensorRT picks the rest itself
RUNTIMES = {"onnx": "onnx", "openvino": "openvino", "trt": "tensorrt"}  # what a manifest says the engine runs on
DEFAULT_SAMPLES = 500
DATE_VARIABLE = "SOURCE_DATE_EPOCH"  # https://reproducible-builds.org/specs/source-date-epoch/


@dataclass(frozen=True)
class ExportOptions:
    """Options of one export.

    text_model: None where the family needs none, or has it in a folder "text-model" beside the checkpoint.
    fusion_mode: None takes the family's own.
    image_heads: attention heads of the image tower; None takes the checkpoint's word or the text model's.
    intensity_profile: how stored DICOM values become grey; None takes the checkpoint's word, else the family's.
    name: the engine's name in tables; None takes the output's.
    calibration, held_out: folders or tables of studies, to calibrate INT8 with and for the drift gate.
    finding: whose truth a table's column "findings" tells, for the AUC.
    calibration_cache: a calibration.json to read, or to be written if it is not there.
    defer_build, max_batch, workspace_mib: of a TensorRT engine; build it elsewhere; radiographs that it runs at
    once at most; memory that a layer may use while it runs. sign: the private key that signs the engine.
    tokenizer, text_heads, preprocessing: of families whose checkpoint does not tell: CLIP's merges file, attention
    heads of the text tower, and whose way of making pixels it was trained with.
    tune: measure what runs the engine fastest on this machine, for its manifest.
    card: the model card in Markdown; None takes the one beside the checkpoint, if alta-train publish wrote one.
    """

    checkpoint: Path
    text_model: Path | None
    output: Path
    engine: str = "onnx"
    precision: str = "fp32"
    fusion_mode: str | None = None
    intensity_profile: str | None = None
    image_heads: int | None = None
    name: str | None = None
    overwrite: bool = False
    calibration: Path | None = None
    calibration_split: str | None = None
    calibration_method: str = METHODS[0]
    calibration_samples: int = DEFAULT_SAMPLES
    calibration_cache: Path | None = None
    held_out: Path | None = None
    held_out_split: str | None = None
    finding: str = "Pneumonia"
    accept_drift: bool = False
    defer_build: bool = False
    max_batch: int | None = None
    workspace_mib: int | None = None
    sign: Path | None = None
    tokenizer: Path | None = None
    text_heads: int | None = None
    preprocessing: str | None = None
    card: Path | None = None
    tune: bool = False


def default_precision(engine: str) -> str:
    """Return what an engine is exported in when nobody says: FP16 is TensorRT's ground, with FP32 norms."""
    return "fp16" if engine == "trt" else "fp32"


def check_options(options: ExportOptions) -> None:
    """Raise ExportError for what cannot be done: engine, precision, date, or where to write."""
    _check_build(options)
    if read_stated_date() is not None and options.tune:
        raise ExportError(
            f"--tune keeps how fast this machine was, and with {DATE_VARIABLE} an export depends on no machine: leave "
            "one of them out"
        )
    if options.sign is not None:
        read_private_key(options.sign)
    if options.precision not in SUPPORTED.get(options.engine, ()):
        supported = "; ".join(f"--engine {e} --precision {'|'.join(p)}" for e, p in SUPPORTED.items())
        raise ExportError(
            f"--engine {options.engine} --precision {options.precision} is not supported by alta-sdk "
            f"{__version__}; supported: {supported}"
        )
    if product_type(options.precision) == "int8" and options.calibration is None and options.calibration_cache is None:
        raise CalibrationError(
            "INT8 needs --calibration FOLDER|CSV: the ranges of its activations are measured on radiographs of the "
            "kind that will be scored (or --calibration-cache of an earlier export)"
        )
    if options.output.suffix != ".alta":
        raise ExportError("--output must end in .alta: a bundle is a folder NAME.alta")
    calibrated_by = (options.calibration, options.held_out, options.calibration_cache)
    read = (options.checkpoint, options.text_model, options.tokenizer, options.card, *calibrated_by)
    refuse_inputs(options.output, read, "engine", ExportError)
    check_folder(
        options.output, overwrite=options.overwrite, list_own=list_bundle_files, by="alta-export", error=ExportError
    )


def read_stated_date() -> datetime | None:
    """Return the date that SOURCE_DATE_EPOCH states, in UTC, or None without it; with it an export is reproducible.

    Raises ExportError unless it is an integer, the seconds since 1970.
    """
    stated = os.environ.get(DATE_VARIABLE)
    if stated is None:
        return None
    try:
        if not re.fullmatch("-?[0-9]+", stated):
            raise ValueError("not an integer")
        return datetime.fromtimestamp(int(stated), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ExportError(f"{DATE_VARIABLE} is no date: set it to whole seconds since 1970, or unset it") from error


def choose_profile(asked: str | None, stated: str | None, usual: str) -> str:
    """Return the engine's intensity profile from what was asked for, what the checkpoint states, and the family's.

    Raises ExportError if they differ: the model would see at the workstation what it was not trained on.
    """
    if asked is not None and stated is not None and asked != stated:
        raise ExportError(
            f"checkpoint was trained with intensity profile {stated}: an engine of it cannot read by {asked}; "
            "leave --intensity-profile out"
        )
    return asked or stated or usual


def _check_build(options: ExportOptions) -> None:
    """Raise RuntimeUnavailable if an engine is to be built where none can be."""
    if options.engine != "trt":
        if options.defer_build or options.max_batch is not None or options.workspace_mib is not None:
            raise ExportError("--defer-build, --max-batch and --workspace go with --engine trt")
        return
    if options.tune:
        raise ExportError("--tune is for CPUs: TensorRT tries its kernels by itself when it builds; leave it out")
    if not options.defer_build:
        try:
            find_builder()
        except RuntimeUnavailable as error:
            raise RuntimeUnavailable(
                f"{error}. Run this command there, or add --defer-build: it writes a bundle that is built there"
            ) from error
