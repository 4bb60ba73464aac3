"""What of a command's tables is refused before torch is imported."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alta_sdk.errors import CheckpointError

from ..data.captioned import read_captioned
from ..data.labelled import read_labelled


def check_measured(model: Path, protocol: str, given: Mapping[str, Any]) -> None:
    """Raise AltaError if a model, or a table that a protocol reads, is not there or lacks what is measured."""
    if not os.path.lexists(model):
        raise CheckpointError(f"model {model.name} not found: give a checkpoint or an engine (.alta)")
    data, root, split, finding = (given[name] for name in ("data", "image_root", "split", "finding"))
    if protocol == "labelled":
        for own in (split, *(("train",) if given["baseline"] else ())):
            read_labelled(data, root, split=own, finding=finding)
    if protocol == "pairs":
        read_captioned(data, root, split=split)
        if given["against"]:
            read_labelled(given["against"], split=split, finding=finding)
