"""The slots of a study, and which image of an examination fills each: the rules, and which one decided."""

import re
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..dicom.body_part import RADIOGRAPHY
from ..dicom.orientation import check_rotation
from ..dicom.views import Confidence, View, ViewFinding
from ..errors import ViewError
from .examination import ChestImage, Examination, SetAside

if TYPE_CHECKING:
    from pydicom import Dataset

KNOWN_POSITIONS = frozenset("PA AP LL RL LATERAL LLD RLD LLO RLO LAO RAO LPO RPO".split())


class Slot(IntEnum):
    """The four places of a study, in the order of the published model's slots."""

    FRONTAL = 0
    LATERAL = 1
    PRIOR_FRONTAL = 2
    PRIOR_LATERAL = 3


CURRENT_SLOTS = (Slot.FRONTAL, Slot.LATERAL)
PRIOR_SLOTS = (Slot.PRIOR_FRONTAL, Slot.PRIOR_LATERAL)


@dataclass(frozen=True)
class SlotChoice:
    """Why a radiograph stands in its slot.

    source: the DICOM keyword that told the view, or "caller". rule: what decided between the candidates.
    contradicted_by: keywords that tell another view. turned: what brought the image upright, empty for
    nothing.
    """

    view: View
    source: str
    confidence: Confidence
    rule: str = "the only one"
    contradicted_by: tuple[str, ...] = ()
    turned: str = ""


@dataclass(frozen=True, eq=False)
class Selection:
    """An image of an examination for each slot that can be filled, why, and what was set aside."""

    images: dict[Slot, ChestImage]
    choices: dict[Slot, SlotChoice]
    set_aside: tuple[SetAside, ...]


def select_images(examination: Examination, slots: tuple[Slot, Slot], *, any_view: bool) -> Selection:
    """Choose a frontal and, if there is one, a lateral radiograph for the two slots.

    any_view: take the only image of the examination as its frontal, whatever its view.
    Raises ViewError if there is no usable frontal, with the counts and codes of what was found.
    """
    part = "current" if slots == CURRENT_SLOTS else "prior"
    usable, aside = _split_usable(examination.images, part)
    by_view = {view: [image for image in usable if image.finding.view is view] for view in View}
    if any_view and not by_view[View.FRONTAL] and len(examination.images) == len(usable) == 1:
        assumed = ChestImage(usable[0].header, ViewFinding(View.FRONTAL, "caller", Confidence.NONE))
        by_view = {view: [] for view in View} | {View.FRONTAL: [assumed]}
    if not by_view[View.FRONTAL]:
        raise ViewError(
            f"no usable frontal radiograph in this study: found {_describe(usable, aside)}; "
            "give a single image with any_view=True (--any-view) to score it anyway"
        )
    images: dict[Slot, ChestImage] = {}
    choices: dict[Slot, SlotChoice] = {}
    for slot, view in zip(slots, (View.FRONTAL, View.LATERAL), strict=True):
        if by_view[view]:
            best, rule = _choose(by_view[view])
            images[slot] = best
            found = best.finding
            choices[slot] = SlotChoice(found.view, found.source, found.confidence, rule, found.contradicted_by)
            aside += [SetAside(part, str(view), f"another was taken: {rule}") for _ in by_view[view][1:]]
    aside += [
        SetAside(part, str(view), "no slot takes this view")
        for view in (View.OTHER, View.UNKNOWN)
        for _ in by_view[view]
    ]
    return Selection(images, choices, tuple(aside))


def _split_usable(images: Sequence[ChestImage], part: str) -> tuple[list[ChestImage], list[SetAside]]:
    usable: list[ChestImage] = []
    aside: list[SetAside] = []
    for image in images:
        why = _reason_against(image.header)
        if why:
            aside.append(SetAside(part, str(image.finding.view), why))
        else:
            usable.append(image)
    return usable, aside


def _reason_against(header: "Dataset") -> str:
    """Return why an image must not be scored, or nothing."""
    if _is(header, "QualityControlImage", "YES"):
        return "a quality control image"
    if _is(header, "PartialView", "YES"):
        return "a partial view"
    try:
        check_rotation(header)
    except ViewError as error:
        return str(error)
    return ""


# The first rule in which two candidates differ decides; larger is better.
_RULES: tuple[tuple[str, Callable[["ChestImage"], Any]], ...] = (
    ("the view is told with more confidence", lambda image: image.finding.confidence),
    ("for presentation", lambda image: not _is(image.header, "PresentationIntentType", "FOR PROCESSING")),
    ("a radiograph, not a capture", lambda image: str(image.header.get("Modality") or "").upper() in RADIOGRAPHY),
    ("original, not derived", lambda image: _first(image.header, "ImageType") != "DERIVED"),
    ("without burned-in text", lambda image: not _is(image.header, "BurnedInAnnotation", "YES")),
    ("not compressed with loss", lambda image: not _is(image.header, "LossyImageCompression", "01")),
    ("acquired last", lambda image: _acquired(image.header)),
    ("more pixels", lambda image: _count(image.header, "Rows") * _count(image.header, "Columns")),
    ("the later instance", lambda image: str(image.header.get("SOPInstanceUID") or "")),
)


def _choose(candidates: Sequence[ChestImage]) -> tuple[ChestImage, str]:
    """Return the best candidate and the rule that set it before the second, whatever the order of the files."""
    if len(candidates) == 1:
        return candidates[0], "the only one"
    best, second = sorted(candidates, key=lambda image: tuple(key(image) for _, key in _RULES), reverse=True)[:2]
    decided = next((name for name, key in _RULES if key(best) != key(second)), "the same in every respect")
    return best, f"{decided} (of {len(candidates)})"


def _acquired(header: "Dataset") -> str:
    """Return the moment of acquisition as digits, empty if it is not stated."""
    moment = str(header.get("AcquisitionDateTime") or "").strip()
    if not moment:
        for kind in ("Acquisition", "Content", "Series"):
            time = str(header.get(f"{kind}Time") or "").strip()
            if time:
                moment = str(header.get(f"{kind}Date") or header.get("StudyDate") or "").strip() + time
                break
    return re.sub(r"[^0-9.]", "", moment)


def _describe(usable: Sequence[ChestImage], aside: Sequence[SetAside]) -> str:
    """Say what was found in counts and codes."""
    parts = []
    for view in View:
        found = [image for image in usable if image.finding.view is view]
        codes = {str(image.header.get("ViewPosition") or "").strip().upper() for image in found} & KNOWN_POSITIONS
        if found:
            parts.append(f"{len(found)} {view}" + (f" ({', '.join(sorted(codes))})" if codes else ""))
    parts += [f"1 {item.what} that is {item.why}" for item in aside]
    return ", ".join(parts)


def _is(header: "Dataset", keyword: str, value: str) -> bool:
    return str(header.get(keyword) or "").strip().upper() == value


def _first(header: "Dataset", keyword: str) -> str:
    value: Any = header.get(keyword) or ""
    return str(value[0] if isinstance(value, MutableSequence) else value).strip().upper()


def _count(header: "Dataset", keyword: str) -> int:
    value: Any = header.get(keyword)
    return value if isinstance(value, int) else 0
