"""From which side was this radiograph taken, and how sure is that?

The header's elements are asked in the order of how far they can be trusted: ViewPosition (missing in
about 4 % of MIMIC-CXR, wrong in about 0.1 %), ViewCodeSequence, descriptions of the image, descriptions
of the whole examination, PatientOrientation. The first that tells decides. A free-text description
alone never rejects an image: "CHEST (PA AND LAT)" stands on each image of an examination.
"""

from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from .orientation import name_plane, read_directions
from .view_words import OTHER_WORDS, View, match_view
from .words import read_text, words_of

if TYPE_CHECKING:
    from pydicom import Dataset

# PS3.16 CID 4010 "DX View": SNOMED CT, then the SNOMED RT values of older systems.
FRONTAL_CODES = frozenset("399033003 399348003 272479007 R-10202 R-10206 R-10214 R-40888".split())
LATERAL_CODES = frozenset("399067008 399198007 399173006 R-102CD R-10232 R-10236".split())
SNOMED = frozenset({"SCT", "SRT", "SNM3", "99SDM"})
IMAGE_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
STUDY_DESCRIPTIONS = ("PerformedProcedureStepDescription", "RequestedProcedureDescription", "StudyDescription")
DESCRIPTIONS = IMAGE_DESCRIPTIONS + STUDY_DESCRIPTIONS


KNOWN_POSITIONS = frozenset("PA AP LL RL LATERAL LLD RLD LLO RLO LAO RAO LPO RPO".split())  # may be shown


class Confidence(IntEnum):
    """How far a view can be trusted, least first.

    NONE: nothing tells it. LOW: the examination's description or PatientOrientation tells it, or two coded
    elements contradict each other. MEDIUM: a description of the image tells it, or contradicts a coded
    element. HIGH: a coded element tells it.
    """

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True)
class ViewFinding:
    """A view, the DICOM keyword that told it (empty for UNKNOWN), and those that tell another one."""

    view: View
    source: str
    confidence: Confidence
    contradicted_by: tuple[str, ...] = ()


def read_view(header: "Dataset") -> ViewFinding:
    """Tell the view of an image from its header; the first element that tells one decides."""
    told = list(_tell(header))
    if not told:
        return ViewFinding(View.UNKNOWN, "", Confidence.NONE)
    source, view, confidence = told[0]
    against = {name: sure for name, other, sure in told[1:] if other is not view and sure > Confidence.LOW}
    if Confidence.HIGH in against.values():
        confidence = Confidence.LOW
    elif against:
        confidence = min(confidence, Confidence.MEDIUM)
    return ViewFinding(view, source, confidence, tuple(against))


def items_of(header: "Dataset", keyword: str) -> list["Dataset"]:
    """Return the items of a sequence; none if the element is missing, or damaged and of another kind."""
    value: Any = header.get(keyword)
    return [item for item in value if hasattr(item, "get")] if isinstance(value, MutableSequence) else []


def _tell(header: "Dataset") -> Iterator[tuple[str, View, Confidence]]:
    """Yield each element that tells a view, the most trusted first."""
    found = [("ViewPosition", match_view(read_text(header, "ViewPosition")), Confidence.HIGH)]
    found += [("ViewCodeSequence", _match_code(code), Confidence.HIGH) for code in items_of(header, "ViewCodeSequence")]
    found += [(key, match_view(read_text(header, key)), Confidence.MEDIUM) for key in IMAGE_DESCRIPTIONS]
    found += [(key, match_view(read_text(header, key)), Confidence.LOW) for key in STUDY_DESCRIPTIONS]
    plane = name_plane(read_directions(header))
    lies = {"coronal": View.FRONTAL, "sagittal": View.LATERAL}.get(plane, View.UNKNOWN)
    found.append(("PatientOrientation", lies, Confidence.LOW))
    return ((source, view, confidence) for source, view, confidence in found if view is not View.UNKNOWN)


def _match_code(code: "Dataset") -> View:
    """Tell a view from a coded entry by its value, else by its meaning; a modifier can make it another view."""
    modifiers = items_of(code, "ViewModifierCodeSequence")
    if any(words_of(modifier, "CodeMeaning") & OTHER_WORDS for modifier in modifiers):
        return View.OTHER
    if str(code.get("CodingSchemeDesignator") or "").strip().upper() in SNOMED:
        value = str(code.get("CodeValue") or "").strip().upper()
        if value in FRONTAL_CODES | LATERAL_CODES:
            return View.FRONTAL if value in FRONTAL_CODES else View.LATERAL
    return match_view(read_text(code, "CodeMeaning"))
