"""The demo model that the repository ships: what `alta-export` exports when no checkpoint is named."""

import os
from pathlib import Path

from alta_sdk.errors import ExportError

DEMO_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "models" / "demo"
DEMO_NAME = "demo"


def find_inputs(
    checkpoint: Path | None, text_model: Path | None, output: Path | None, folder: Path = DEMO_FOLDER
) -> tuple[Path, Path, Path]:
    """Return checkpoint, text model and output, filling in what was not given.

    Without a checkpoint it is the demo model in `folder`; a text model is looked for beside the
    checkpoint; the output is NAME.alta in the working folder. Raises ExportError if one is not there.
    """
    if checkpoint is None:
        if text_model is not None:
            raise ExportError("--text-model without --checkpoint: give both, or neither for the demo model")
        checkpoint = folder / f"{DEMO_NAME}.safetensors"
        if not os.path.isfile(checkpoint):
            raise ExportError("no --checkpoint, and the demo model is only in the repository: give --checkpoint")
    return checkpoint, text_model or find_text_model(checkpoint), choose_output(checkpoint, output)


def find_text_model(checkpoint: Path) -> Path:
    """Return the text model beside a checkpoint; raise ExportError if there is none."""
    text_model = checkpoint.parent / "text-model"
    if not os.path.isdir(text_model):
        raise ExportError("no text-model folder beside the checkpoint: give --text-model")
    return text_model


def choose_output(checkpoint: Path, output: Path | None) -> Path:
    """Return the engine to write: of the checkpoint's name, in the working folder, if none was named."""
    return output or Path(f"{checkpoint.stem}.alta")
