"""A heat map on a radiograph's own pixels: values, pictures, and what they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dicom.files import PathLike, Source
from ..dicom.image import ImageOrigin
from ..engine.clock import tell_time
from ..files.targets import check_target, write_target
from ..study.geometry import ALTA_GEOMETRY, Geometry
from .overlay import DISCLAIMER, OPACITY, Limits, add_legend, blend, check_picture_name, encode_png, is_png


@dataclass(frozen=True, eq=False)
class Heatmap:
    """The similarity of a phrase with each place of a radiograph; the phrase itself is not kept.

    values: (height, width) float32 on the radiograph's own pixels, a cosine between -1 and 1, NaN where the model
    did not see. patches: (side, side) float32, the same before it was mapped back.
    cosine: of the study with the phrase, as `Matcher.score` gives it.
    local_cosine: the mean cosine of the phrase's words with the patches they look at, between -1 and 1.
    peak: the pixel (row, column) at the centre of the most similar patch.
    grey_u8: the radiograph, (height, width) or (height, width, 3) uint8.
    drawn_on: the DICOM file that its pixels came from, none for a JPEG, PNG or array: patient data, never shown.
    geometry: the engine's, which maps patches to pixels. scored_at: when it was made, in UTC.
    """

    values: NDArray[np.float32]
    patches: NDArray[np.float32]
    cosine: float
    local_cosine: float
    peak: tuple[int, int]
    grey_u8: NDArray[np.uint8] = field(repr=False)
    provenance: Mapping[str, Any]
    drawn_on: ImageOrigin | None = field(default=None, repr=False)
    geometry: Geometry = field(default=ALTA_GEOMETRY, repr=False)
    scored_at: str = field(default_factory=tell_time)

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.values, self.patches):
            array.setflags(write=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled or copied, read-only as before."""
        vars(self).update(state)
        self.__post_init__()

    @property
    def score(self) -> float:
        """The cosine of the study with the phrase, by its former name."""
        return self.cosine

    @property
    def local_score(self) -> float:
        """The local cosine, by its former name."""
        return self.local_cosine

    @property
    def limits(self) -> Limits:
        """The lowest and the highest similarity of this map, of the patches that show something of the radiograph."""
        seen = self.patches[self.geometry.find_seen_patches(len(self.patches), *self.values.shape)]
        return float(seen.min()), float(seen.max())

    def overlay(self, limits: Limits | None = None, opacity: float = OPACITY) -> NDArray[np.uint8]:
        """Return the radiograph with the map in colour on it: (height, width, 3) uint8.

        limits: the similarities drawn without and with full colour; None takes the map's own, so that even a phrase
        that matches nowhere has a bright spot: give the same limits to maps that are to be compared.
        What the model did not see is darkened.
        """
        return blend(self.grey_u8, self.values, limits or self.limits, opacity)

    def picture(self, limits: Limits | None = None, caption: str = "") -> NDArray[np.uint8]:
        """Return the overlay with a strip below it: the colours' scale, "Not for clinical use", and a caption."""
        return add_legend(self.overlay(limits), limits or self.limits, caption)

    def save_png(
        self, path: PathLike, *, limits: Limits | None = None, caption: str = "", overwrite: bool = False
    ) -> None:
        """Write the picture as a PNG, whole or not at all.

        caption: a text for the strip; the phrase is not written by itself, since it may be report text.
        overwrite: replace an older heat map, and nothing else.
        Raises AltaError if the file exists or cannot be written, or has the ending of another format.
        """
        check_target(Path(path), "heat map", overwrite=overwrite, is_ours=is_png)
        check_picture_name(Path(path))
        data = encode_png(self.picture(limits, caption))
        write_target(Path(path), data, "heat map", overwrite=overwrite, is_ours=is_png)

    def save_dicom(
        self,
        path: PathLike,
        *,
        limits: Limits | None = None,
        caption: str = "",
        with_identifiers: bool = False,
        identifiers_from: Source | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write the picture as a DICOM secondary capture in a series of its own, whole or not at all.

        Its header carries nothing that identifies the patient, and new UIDs; the pixels are the radiograph's own, with
        whatever text is burned into them.
        with_identifiers: take the patient and study elements of the file that the radiograph's pixels were read from,
        as they were then, so that an archive files it with the study.
        identifiers_from: the study's DICOM files: the same, and refused unless the radiograph is among them.
        Raises AltaError if the file exists or cannot be written, DicomError or StudyError if there are no identifiers,
        or for files that cannot be read or are not those of the radiograph.
        Source: DICOM PS3.3 A.8.1 (Secondary Capture Image IOD).
        """
        from ..dicom.secondary_capture import check_source, encode_secondary_capture, is_capture, take_identifiers

        if identifiers_from is not None:
            check_source(identifiers_from, self.drawn_on)
        is_filed = with_identifiers or identifiers_from is not None
        identifiers = take_identifiers(self.drawn_on) if is_filed else {}
        comment = f"{DISCLAIMER}. {caption}".strip()
        data = encode_secondary_capture(self.picture(limits, caption), self.describe(), comment, identifiers)
        write_target(Path(path), data, "heat map", overwrite=overwrite, is_ours=is_capture)

    def describe(self) -> str:
        """Say how the map was made, as its secondary capture does."""
        origin = self.provenance
        return (
            f"{DISCLAIMER}. Similarity of a phrase with image patches, computed by engine "
            f"{str(origin['engine_sha256'])[:16]}, {origin['precision']}, {origin['runtime']}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON: all but the arrays."""
        height, width = self.values.shape
        return {
            "cosine": self.cosine,
            "local_cosine": self.local_cosine,
            "peak": {"row": self.peak[0], "column": self.peak[1], "cosine": self.limits[1]},
            "lowest_cosine": self.limits[0],
            "rows": height,
            "columns": width,
            "patches": [list(map(float, row)) for row in self.patches],
            "provenance": {**self.provenance, "scored_at": self.scored_at},
        }
