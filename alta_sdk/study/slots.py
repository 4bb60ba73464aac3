"""The slots of a study, and which image of an examination fills each: the rules, and which one decided."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from ..dicom.copies import hash_coded, hash_said
from ..dicom.image import DicomImage
from ..dicom.moments import are_in_utc
from ..dicom.view_words import View
from ..dicom.views import Confidence, ViewFinding
from ..errors import ViewError
from .examination import Examination, SetAside


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

    images: dict[Slot, DicomImage]
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
        assumed = replace(usable[0], finding=ViewFinding(View.FRONTAL, "caller", Confidence.NONE))
        by_view = {view: [] for view in View} | {View.FRONTAL: [assumed]}
    if not by_view[View.FRONTAL]:
        raise ViewError(
            f"no usable frontal radiograph in this study: found {_describe(usable, aside)}; "
            "give a single image with any_view=True (--any-view) to score it anyway"
        )
    images: dict[Slot, DicomImage] = {}
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


def _split_usable(images: Sequence[DicomImage], part: str) -> tuple[list[DicomImage], list[SetAside]]:
    usable: list[DicomImage] = []
    aside: list[SetAside] = []
    for image in images:
        why = _reason_against(image)
        if why:
            aside.append(SetAside(part, str(image.finding.view), why))
        else:
            usable.append(image)
    return usable, aside


def _reason_against(image: DicomImage) -> str:
    """Return why an image must not be scored, or nothing."""
    if image.traits.is_quality_control:
        return "a quality control image"
    if image.traits.is_partial_view:
        return "a partial view"
    return image.lie.refusal


Rule = tuple[str, Callable[[DicomImage], Any]]


def _list_rules(*, in_utc: bool) -> tuple[Rule, ...]:
    """The first rule in which two candidates differ decides; larger is better."""
    return (
        ("the view is told with more confidence", lambda image: image.finding.confidence),
        ("for presentation", lambda image: not image.traits.is_for_processing),
        ("a radiograph, not a capture", lambda image: image.traits.is_radiography),
        ("original, not derived", lambda image: not image.traits.is_derived),
        ("without burned-in text", lambda image: not image.traits.has_burned_in_text),
        ("not compressed with loss", lambda image: not image.traits.is_compressed_with_loss),
        ("acquired last", lambda image: () if image.keys.acquired is None else image.keys.acquired.span(in_utc=in_utc)),
        ("more pixels", lambda image: image.traits.pixels),
        ("the later instance", lambda image: image.keys.instance_uid),
    )


def _choose(candidates: Sequence[DicomImage]) -> tuple[DicomImage, str]:
    """Return the best candidate and the rule that set it before the second, whatever the order of the files."""
    if len(candidates) == 1:
        return candidates[0], "the only one"
    rules = _list_rules(in_utc=are_in_utc(image.keys.acquired for image in candidates))
    best, second = sorted(candidates, key=lambda image: tuple(key(image) for _, key in rules), reverse=True)[:2]
    decided = next((name for name, key in rules if key(best) != key(second)), "")
    if not decided:  # different images under one SOPInstanceUID: not the order of the files
        equal = [one for one in candidates if all(key(one) == key(best) for _, key in rules)]
        best = max(equal, key=lambda image: (image.stored.read_digest(), hash_said(image), hash_coded(image)))
        decided = "the same in every respect"
    return best, f"{decided} (of {len(candidates)})"


def _describe(usable: Sequence[DicomImage], aside: Sequence[SetAside]) -> str:
    """Say what was found in counts and codes."""
    parts = []
    for view in View:
        found = [image for image in usable if image.finding.view is view]
        codes = {image.view_position for image in found} - {""}
        if found:
            parts.append(f"{len(found)} {view}" + (f" ({', '.join(sorted(codes))})" if codes else ""))
    parts += [f"1 {item.what} that is {item.why}" for item in aside]
    return ", ".join(parts)
