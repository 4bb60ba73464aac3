"""The options of `alta-export`, given to the command as what makes its ExportOptions. Imports nothing heavy."""

from collections.abc import Callable
from typing import Any

import click

from alta_sdk.cli.option_groups import COUNT, PATH, fusion_mode_option, group_options, overwrite_option
from alta_sdk.cli.terminal import say
from alta_sdk.dicom.intensity import PROFILES

from .demo_model import choose_output, find_inputs
from .options import DEFAULT_SAMPLES, ENGINES, METHODS, PRECISIONS, ExportOptions, default_precision


def fill_in(**given: Any) -> Callable[[], ExportOptions]:
    """Return what makes the options of an export, with what was left out filled in.

    given: the fields of ExportOptions; checkpoint, text_model, output and precision may be None. Not before the
    export starts: a file that is not there is an ExportError then, and no matter of `alta-export build`.
    """

    def make() -> ExportOptions:
        checkpoint, text_model, output = given["checkpoint"], given["text_model"], given["output"]
        if checkpoint is None:
            checkpoint, text_model, output = find_inputs(checkpoint, text_model, output)
            say(f"no --checkpoint: exporting the demo model to {output}")
        found = {"checkpoint": checkpoint, "text_model": text_model, "output": choose_output(checkpoint, output)}
        precision = given["precision"] or default_precision(given["engine"])
        return ExportOptions(**{**given, **found, "precision": precision})

    return make


export_options = group_options(
    "make_options",
    ExportOptions,
    click.option(
        "--checkpoint",
        type=PATH,
        help="The published file, or our .safetensors; BiomedCLIP's folder. [default: the repository's demo model]",
    ),
    click.option(
        "--text-model",
        type=PATH,
        help="The text model's folder. [default: text-model beside the checkpoint; its own folder, if it needs none]",
    ),
    click.option(
        "--output",
        type=PATH,
        help="The engine to write: NAME.alta. [default: of the checkpoint's name, here]",
    ),
    click.option("--engine", type=click.Choice(ENGINES), default="onnx", show_default=True, help="Kind of engine."),
    click.option(
        "--precision", type=click.Choice(PRECISIONS), help="Number format. [default: fp32; fp16 with --engine trt]"
    ),
    fusion_mode_option(
        "How a study's radiographs become one vector, unless a Matcher says otherwise. [default: the family's own]"
    ),
    click.option(
        "--intensity-profile",
        type=click.Choice(PROFILES),
        help="How stored DICOM values become grey. [default: the checkpoint's word, else the family's]",
    ),
    click.option(
        "--image-heads",
        type=COUNT,
        help="Attention heads of the image tower. [default: the checkpoint's word, or the text model's head size]",
    ),
    click.option(
        "--text-heads",
        type=COUNT,
        help="CLIP families: attention heads of the text tower. [default: the checkpoint's word, or 64 numbers each]",
    ),
    click.option(
        "--tokenizer",
        type=PATH,
        help="CheXzero, CLIP: bpe_simple_vocab_16e6.txt.gz. [default: beside the checkpoint]",
    ),
    click.option(
        "--preprocessing",
        type=click.Choice(("chexzero", "openai")),
        help="CheXzero, CLIP: whose pixels it reads, where the file does not tell.",
    ),
    click.option(
        "--card",
        type=PATH,
        metavar="FILE",
        help="The model card in Markdown, card.json beside it. [default: the published one beside the checkpoint]",
    ),
    click.option("--name", help="The engine's name in tables. [default: the output's]"),
    click.option(
        "--calibration",
        type=PATH,
        metavar="FOLDER|CSV",
        help="Studies (DICOM, JPEG, PNG) that INT8 is calibrated on: a folder, or a table with image or image_path.",
    ),
    click.option("--calibration-split", help="Its rows to take, by the column split. [default: all]"),
    click.option(
        "--calibration-method",
        type=click.Choice(METHODS),
        default=METHODS[0],
        show_default=True,
        help="How ranges are found.",
    ),
    click.option(
        "--calibration-samples",
        type=COUNT,
        default=DEFAULT_SAMPLES,
        show_default=True,
        help="Studies to take at most.",
    ),
    click.option(
        "--calibration-cache",
        type=PATH,
        help="calibration.json to read instead of calibrating, or to write if it is not there.",
    ),
    click.option(
        "--held-out",
        type=PATH,
        metavar="FOLDER|CSV",
        help="Studies that the drift is measured on. [default: every fifth of --calibration, else synthetic images]",
    ),
    click.option("--held-out-split", help="Its rows to take, by the column split. [default: all]"),
    click.option(
        "--finding", default="Pneumonia", show_default=True, help="For the AUC, where a table tells findings."
    ),
    click.option("--accept-drift", is_flag=True, help="Write an engine beyond the limits; its manifest says so."),
    click.option(
        "--tune",
        is_flag=True,
        help="Measure which runtime is fastest on this CPU, which should be idle; on such CPUs it is chosen.",
    ),
    click.option("--defer-build", is_flag=True, help="trt: write a bundle that is built on the GPU that will run it."),
    click.option("--max-batch", type=COUNT, help="trt: radiographs at once at most. [default: 16]"),
    click.option(
        "--workspace",
        "workspace_mib",
        type=COUNT,
        metavar="MIB",
        help="trt: memory that one layer may use while it runs. [default: the GPU's]",
    ),
    click.option(
        "--sign", type=PATH, metavar="KEY", help="Sign the engine with this private key, which alta keygen made."
    ),
    overwrite_option("an engine that is"),
    make=fill_in,
)
