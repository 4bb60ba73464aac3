"""Is this DICOM image a chest radiograph, and from which side was it taken?

The header's elements are asked in the order of how far they can be trusted; a free-text description
alone never rejects an image, because it is often written for the whole examination.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from .errors import ViewError

if TYPE_CHECKING:
    from pydicom import Dataset

RADIOGRAPHY = frozenset({"CR", "DX", "RG"})
CAPTURES = frozenset({"OT", "SC", ""})  # secondary captures and unstated: chest only if it says so
CHEST = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS"})
CHEST_WORDS = frozenset({"chest", "thorax", "cxr", "lung", "lungs"})
FRONTAL_WORDS = frozenset({"pa", "ap", "frontal", "postero-anterior", "antero-posterior"})
LATERAL_WORDS = frozenset({"ll", "rl", "lat", "lateral"})
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription", "StudyDescription")


class View(StrEnum):
    """The side from which a radiograph was taken."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ViewFinding:
    """A view and the DICOM keyword that told it (empty for UNKNOWN)."""

    view: View
    source: str


def read_view(header: "Dataset") -> ViewFinding:
    """Tell the view from ViewPosition, then ViewCodeSequence, then the descriptions."""
    position = str(header.get("ViewPosition") or "").strip().lower()
    if position:
        # Obliques, decubitus and lordotic views are neither frontal nor lateral to the model.
        return ViewFinding(_match_view({position}), "ViewPosition")
    for code in header.get("ViewCodeSequence") or []:
        view = _match_view(set(str(code.get("CodeMeaning") or "").lower().split()))
        if view is not View.UNKNOWN:
            return ViewFinding(view, "ViewCodeSequence")
    for keyword in DESCRIPTIONS:
        view = _match_view(_words(header, keyword))
        if view is not View.UNKNOWN:
            return ViewFinding(view, keyword)
    return ViewFinding(View.UNKNOWN, "")


def check_chest(header: "Dataset") -> None:
    """Raise ViewError unless the header lets this be a chest radiograph.

    A radiograph (CR, DX, RG) whose body part is not stated passes; another kind of image passes only
    if it says that it shows a chest.
    """
    modality = str(header.get("Modality") or "").strip().upper()
    if modality not in RADIOGRAPHY | CAPTURES:
        raise ViewError(
            f"not a chest radiograph: modality is {_printable_code(modality)}; "
            "pass any_body_part=True (--any-body-part) to score it anyway"
        )
    body_part = str(header.get("BodyPartExamined") or "").strip().upper()
    if body_part:
        if not CHEST & set(re.split(r"[^A-Z]+", body_part)):
            raise ViewError(
                f"not a chest radiograph: body part examined is {_printable_code(body_part)}; "
                "pass any_body_part=True (--any-body-part) to score it anyway"
            )
    elif modality in CAPTURES and not any(CHEST_WORDS & _words(header, key) for key in DESCRIPTIONS):
        raise ViewError(
            "not known to be a chest radiograph: a secondary capture without a body part; "
            "pass any_body_part=True (--any-body-part) to score it anyway"
        )


def _match_view(words: set[str]) -> View:
    frontal, lateral = bool(words & FRONTAL_WORDS), bool(words & LATERAL_WORDS)
    if frontal == lateral:  # neither, or "PA AND LAT", which tells nothing about this image
        return View.UNKNOWN
    return View.FRONTAL if frontal else View.LATERAL


def _words(header: "Dataset", keyword: str) -> set[str]:
    return set(re.split(r"[^a-z-]+", str(header.get(keyword) or "").lower()))


def _printable_code(code: str) -> str:
    # A code string (VR CS) has at most 16 characters of a small set (PS3.5 6.2); anything else may
    # be free text, which is not shown.
    return code if re.fullmatch(r"[A-Z0-9 _]{1,16}", code) else "not a DICOM code"
