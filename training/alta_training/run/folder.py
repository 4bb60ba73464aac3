"""Whether a run may have its folder, asked before anything is read for it, and before torch is imported."""

import os
from pathlib import Path

from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import refuse_inputs

STATE = "state.pt"
PREVIOUS = "state.previous.pt"
METRICS = "metrics.jsonl"


def check_output(output: Path, resume: bool, backbone: Path | None) -> None:
    """Refuse an output before anything is read for it: a taken folder, or one whose weights are the backbone."""
    if int(os.environ.get("RANK", 0)):
        return  # the first process of a run may have made the folder by now
    refuse_inputs(output, (backbone,), "run", TrainingError)
    check_run_folder(output, resume)


def check_run_folder(folder: Path, resume: bool) -> None:
    """Raise TrainingError if a run's folder is taken, or holds no run to resume."""
    try:
        if resume:
            if not has_state(folder):
                raise TrainingError(f"{folder.name} holds no {STATE} to resume from: choose another --output")
        elif os.path.lexists(folder) and (not os.path.isdir(folder) or any(folder.iterdir())):
            way = "or give --resume" if has_state(folder) else "or remove it: the run in it had saved nothing yet"
            raise TrainingError(f"{folder.name} exists and is not empty: choose another --output, {way}")
    except OSError as error:
        raise TrainingError(f"{folder.name} cannot be read: {error.strerror}; choose another --output") from error


def has_state(folder: Path) -> bool:
    """Tell whether a run's folder has a state to go on from."""
    return os.path.isfile(folder / STATE) or os.path.isfile(folder / PREVIOUS)
