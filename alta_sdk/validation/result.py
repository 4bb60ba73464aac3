"""A whole validation as data: figures by label, what was not read, and the hashes of everything they depend on."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.clock import tell_time
from ..errors import CalibrationError
from ..files.opening import open_file
from .figures import Case, LabelFigures
from .scored import UnreadStudy

SCHEMA_VERSION = 1
INTENDED = "Not for clinical use"


@dataclass(frozen=True, eq=False)
class Validation:
    """labels: their figures. studies: that were scored; unread: that were not. notices: studies with one.

    table_sha256: of the file. other: the provenance of the engine that this one is compared with.
    """

    labels: Sequence[LabelFigures]
    studies: int
    patients: int | None
    unread: Sequence[UnreadStudy]
    noticed: int
    table_sha256: str
    provenance: Mapping[str, Any]
    other: Mapping[str, Any] | None = None
    created: str = field(default_factory=tell_time)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON: what is not finite, such as the first threshold of a curve, is null."""
        told: dict[str, Any] = to_plain({name.name: getattr(self, name.name) for name in fields(self)})
        for label, figures in zip(told["labels"], self.labels, strict=True):
            label["are_probabilities"] = figures.are_probabilities
        return {"schema_version": SCHEMA_VERSION, "intended_use": INTENDED, **told}


def hash_table(table: Path) -> str:
    """Return the SHA-256 of a table; raises CalibrationError if it cannot be read."""
    try:
        with open_file(table) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CalibrationError(f"table of studies cannot be read: {error.strerror}; check its path") from error


def to_plain(value: Any) -> Any:
    """Return dataclasses, arrays and numbers as JSON has them."""
    if isinstance(value, Case | UnreadStudy):
        return value.as_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: to_plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
