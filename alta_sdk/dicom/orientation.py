"""Bring a radiograph upright where its header says how it lies.

PatientOrientation (PS3.3 C.7.6.1.1.1) names the directions of the rows and columns of the stored
pixels: a frontal radiograph stands as viewers show it with "L\\F" (rows run to the patient's left,
columns to the feet), a lateral one with columns to the feet. Turning by quarter turns and mirroring
moves pixels without changing one. FieldOfViewRotation and FieldOfViewHorizontalFlip say what the
detector has done to the stored pixels already (C.8.11.4), so they ask for nothing here.
"""

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

PLANES = {frozenset("LF"): "coronal", frozenset("AF"): "sagittal"}
OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "F": "H", "H": "F"}
Turn = tuple[bool, bool, bool]
TURNS: dict[Turn, str] = {  # by (rows and columns exchanged, then mirrored left to right, then top to bottom)
    (False, False, False): "",
    (False, True, False): "mirrored left to right",
    (False, False, True): "mirrored top to bottom",
    (False, True, True): "turned by 180°",
    (True, False, False): "rows and columns exchanged",
    (True, True, False): "turned by 90° clockwise",
    (True, False, True): "turned by 90° counterclockwise",
    (True, True, True): "rows and columns exchanged and turned by 180°",
}


@dataclass(frozen=True)
class Lie:
    """How an image lies. directions: main directions of rows and columns, None if not stated or unusable.

    refusal: why nobody can tell how the stored pixels lie, or nothing.
    """

    directions: tuple[str, str] | None
    refusal: str

    @property
    def plane(self) -> str:
        """What `name_plane` says of the directions."""
        return name_plane(self.directions)


def read_lie(header: "Dataset") -> Lie:
    """Read how an image lies."""
    return Lie(read_directions(header), refuse_rotation(header))


def read_directions(header: "Dataset") -> tuple[str, str] | None:
    """Return the main directions of rows and columns, of L R A P H F; None if not stated or unusable."""
    value: Any = header.get("PatientOrientation")
    if not isinstance(value, MutableSequence) or len(value) != 2:
        return None
    row, column = (str(item).strip().upper()[:1] for item in value)
    if row not in OPPOSITE or column not in OPPOSITE or row in (column, OPPOSITE[column]):
        return None
    return row, column


def name_plane(directions: tuple[str, str] | None) -> str:
    """Return "coronal", "sagittal", or "" if the directions of rows and columns tell neither."""
    if directions is None:
        return ""
    axes = frozenset({"R": "L", "P": "A", "H": "F"}.get(direction, direction) for direction in directions)
    return PLANES.get(axes, "")


def refuse_rotation(header: "Dataset") -> str:
    """Return why the header wants viewers to turn or mirror the stored pixels by other means, or nothing.

    ImageRotation and ImageHorizontalFlip belong to presentation states (PS3.3 C.10.6); in an image
    nobody knows whether they are done already.
    """
    rotation = str(header.get("ImageRotation") or "0").strip()
    flip = str(header.get("ImageHorizontalFlip") or "N").strip().upper()
    if rotation not in ("0", "360") or flip != "N":
        return "its ImageRotation or ImageHorizontalFlip asks for a turned image: export it upright"
    return ""


def turn_upright(
    grey_u8: NDArray[np.uint8], directions: tuple[str, str] | None, plane: str
) -> tuple[NDArray[np.uint8], str]:
    """Turn an image (height, width[, 3]) so that the head is at the top, and the patient's left at the right.

    plane: "coronal" or "sagittal", what the view is; a sagittal image is turned, never mirrored, so that
    it faces the side that it was taken from. Where the directions are of another plane, or not
    known, the image stays as it is.
    Returns the image and what was done to it, empty for nothing.
    """
    return apply_turn(grey_u8, _find_turn(directions, plane))


def apply_turn(grey_u8: NDArray[np.uint8], turn: Turn) -> tuple[NDArray[np.uint8], str]:
    """Move the pixels of an image (height, width[, 3]) and say what was done, nothing for nothing."""
    exchanged, mirrored, upside_down = turn
    turned = grey_u8.swapaxes(0, 1) if exchanged else grey_u8
    turned = turned[:, ::-1] if mirrored else turned
    turned = turned[::-1] if upside_down else turned
    return np.ascontiguousarray(turned), TURNS[turn]


def _find_turn(directions: tuple[str, str] | None, plane: str) -> Turn:
    if directions is None:
        return False, False, False
    exchanged = directions[0] in "HF"
    row, column = directions[::-1] if exchanged else directions
    if plane == "coronal" and row in "LR" and column in "HF":
        return exchanged, row == "R", column == "H"
    if plane == "sagittal" and row in "AP" and column in "HF":
        upside_down = column == "H"
        # A turn exchanges and mirrors once, or mirrors twice: anything else would show the other side.
        return exchanged, upside_down != exchanged, upside_down
    return False, False, False
