"""From the vectors of a study's radiographs to one vector: fusion over slots, by a mode of the engine's family."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from ..dicom.intensity import HALF
from ..errors import EngineError
from ..study.slots import Slot
from .heads import Head, MlpHead
from .manifest_content import FRONTAL, KNOWN_MODES, PRESENT, PRIOR, PUBLISHED
from .vectors import Vector, to_unit_length


def choose_slots(present: tuple[Slot, ...], mode: str, readable: Collection[Slot] = tuple(Slot)) -> tuple[Slot, ...]:
    """Return the slots that a fusion mode looks at, of those that are filled; readable: those of the family."""
    mode = name_plain_mode(mode)
    check_mode(mode)
    if mode == FRONTAL:
        return (Slot.FRONTAL,)
    wanted = (Slot.FRONTAL, Slot.PRIOR_FRONTAL) if mode == PRIOR else tuple(Slot)
    return tuple(slot for slot in present if slot in wanted and slot in readable)


def tell_used_mode(mode: str, chosen: Collection[Slot]) -> str:
    """Return the mode of a study whose slots were chosen: without a prior, `prior` is `frontal`.

    A missing prior is no black image: the projection of the radiograph alone is another output of the model.
    """
    alone = mode.replace(PRIOR, FRONTAL, 1)
    return alone if name_plain_mode(mode) == PRIOR and Slot.PRIOR_FRONTAL not in chosen else mode


def name_plain_mode(mode: str) -> str:
    """Return a mode without what it says of how radiographs were decoded."""
    return mode.removesuffix(HALF)


def list_used_modes(mode: str) -> tuple[str, ...]:
    """Return the modes in which studies come out that are embedded in a mode: each a space of its own.

    So is a mode whose radiographs were decoded without their finest details: its name ends in "+half".
    """
    return (mode, tell_used_mode(mode, ())) if name_plain_mode(mode) == PRIOR else (mode,)


def embed_slots(vector_by_slot: Mapping[Slot, Vector], mode: str, head: Head) -> Vector:
    """Return the unit vector (embedding,) float32 of a study from the vectors (width,) of its slots.

    ALTA's head reads the fused CLS. Other families know nothing of several radiographs: `present` is then ours, the
    mean of the unit vectors of each.
    """
    if isinstance(head, MlpHead):
        fused = fuse_slots(vector_by_slot, mode, head.missing_cls)
        unit: Vector = to_unit_length(head.project(fused[None]))[0]
        return unit
    check_mode(mode, (FRONTAL, PRESENT))
    seen = [vector_by_slot[Slot.FRONTAL]] if mode == FRONTAL else list(vector_by_slot.values())
    each = to_unit_length(head.project(np.stack(seen)))
    vector: Vector = each[0] if len(each) == 1 else to_unit_length(each.astype(np.float64).mean(axis=0))
    return vector


def fuse_slots(cls_by_slot: Mapping[Slot, Vector], mode: str, missing_cls: NDArray[np.float64]) -> Vector:
    """Fuse the CLS vectors (width,) of a study's slots into one (width,) float32, as ALTA does.

    frontal: the current frontal alone. present: mean of those given. published: mean over all four
    slots, the missing ones by their constants (as in training).
    """
    check_mode(mode, (FRONTAL, PRESENT, PUBLISHED))
    if mode == FRONTAL:
        return cls_by_slot[Slot.FRONTAL]
    stacked = [vector.astype(np.float64) for vector in cls_by_slot.values()]
    if mode == PUBLISHED:
        stacked += [missing_cls[slot - 1] for slot in Slot if slot not in cls_by_slot]
    fused: Vector = np.mean(stacked, axis=0).astype(np.float32)
    return fused


def check_mode(mode: str, modes: Collection[str] = KNOWN_MODES) -> None:
    """Raise EngineError for a fusion mode that is none of `modes`: an engine's own, as its manifest lists them."""
    if mode not in modes:
        raise EngineError(f"fusion mode is not supported; choose one of: {', '.join(modes)}")
