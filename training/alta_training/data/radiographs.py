"""The radiographs of a table, without labels or reports: pixels alone, in the table's order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.errors import TrainingError

from .pixels import PixelReader
from .tables import check_images, find_image_folder, name_values, read_rows


@dataclass(frozen=True)
class RadiographFiles:
    """Image files of a table, in its order, and the table in words."""

    paths: list[Path]
    table: str

    def __str__(self) -> str:
        """Spell them as a number and a table."""
        return f"{len(self.paths)} radiographs of {self.table}"

    def spread(self, count: int) -> "RadiographFiles":
        """Return `count` of them at even distances, or all where there are fewer."""
        if len(self.paths) <= count:
            return self
        return RadiographFiles([self.paths[i * len(self.paths) // count] for i in range(count)], self.table)

    def read(self) -> Iterator[NDArray[np.uint8]]:
        """Give the pixels of each, (224, 224) uint8; raise StudyError for one that cannot be read."""
        reader = PixelReader(PUBLISHED)
        for path in self.paths:
            yield reader.read(path, with_target=False).small


def list_radiographs(table: Path, split: str | None = None) -> RadiographFiles:
    """List the image files of a table, of one split or of all.

    Raises TrainingError for a table that cannot be read, has no row of the split, or names files that are not there.
    """
    rows = read_rows(table, ("image", "split") if split else ("image",))
    folder = find_image_folder(table)
    paths = [folder / row["image"] for row in rows if split is None or row["split"] == split]
    if not paths:
        known = name_values(row["split"] for row in rows)
        raise TrainingError(f"table {table.name} has no row of split {split}: its splits are {known}")
    check_images(f"table {table.name}", paths)
    return RadiographFiles(paths, f"{table.name}, split {split}" if split else table.name)
