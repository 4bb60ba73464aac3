"""Radiographs with their own words: a metadata table (image, patient, findings, caption, split)."""

from dataclasses import dataclass
from pathlib import Path

from alta_sdk.errors import TrainingError

from .labelled import split_findings
from .tables import check_images, find_image_folder, name_values, read_rows

NEEDED = ("image", "patient", "findings", "caption", "split")


@dataclass(frozen=True)
class CaptionedRadiograph:
    """One radiograph, the words that were published with it (may be empty) and its findings in lower case."""

    path: Path
    patient: str
    caption: str
    findings: frozenset[str]


def read_captioned(path: Path, images: Path | None = None, *, split: str) -> list[CaptionedRadiograph]:
    """Read the radiographs of a split; images as for `read_labelled`.

    Raises TrainingError for a table that cannot be read, lacks columns, or has no such row or image file.
    """
    folder = images or find_image_folder(path)
    rows = read_rows(path, NEEDED)
    radiographs = [
        CaptionedRadiograph(
            folder / row["image"],
            row["patient"],
            " ".join(row["caption"].split()),
            frozenset(name.lower() for name in split_findings(row["findings"])),
        )
        for row in rows
        if row["split"] == split
    ]
    if not radiographs:
        known = name_values(row["split"] for row in rows)
        raise TrainingError(f"table {path.name} has no radiograph in split {split}: name another of {known}")
    check_images(f"labelled table {path.name}", [radiograph.path for radiograph in radiographs])
    return radiographs
