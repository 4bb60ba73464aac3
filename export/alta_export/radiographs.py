"""Radiographs for calibration and for the drift gate, from a folder or a table, read as the SDK reads studies."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alta_sdk import Slot, Study
from alta_sdk.dicom.intensity import PUBLISHED
from alta_sdk.engine.fusion import choose_slots
from alta_sdk.errors import AltaError, CalibrationError, DicomError
from alta_sdk.study.geometry import ALTA_GEOMETRY, Geometry
from alta_sdk.study.radiograph import Radiograph
from alta_sdk.study.study import load_study
from alta_training.data.labelled import is_positive
from alta_training.data.records import COLUMNS, read_record_paths
from alta_training.data.tables import read_rows

T = TypeVar("T")
HELD_OUT_EVERY = 5
MIN_RADIOGRAPHS = 16
PATIENT = "patient"  # a table's column
BLANK = 1.0  # standard deviation in grey values of 0 to 255


@dataclass(frozen=True, eq=False)
class Radiographs:
    """Radiographs as the image graph takes them.

    pixels: (n, 1, px, px) uint8. slots: (n,) int64. truth: (n,) bool where a table told, for frontals
    only, else None. source: what they are, for the manifest, without a path. reads_slot: whether the graph that they
    are for reads their slots. patients: (n,) whose each is, None unless all tell: patient data, counted and compared
    alone. is_synthetic: made by rule, of nobody.
    """

    pixels: NDArray[np.uint8]
    slots: NDArray[np.int64]
    truth: NDArray[np.bool_] | None
    source: str
    reads_slot: bool = True
    patients: NDArray[np.str_] | None = field(default=None, repr=False)
    is_synthetic: bool = False

    def __len__(self) -> int:
        """Return the number of radiographs."""
        return len(self.slots)

    def inputs(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the image graph's inputs one radiograph at a time, as the SDK runs them."""
        for i in range(len(self)):
            pixels = {"pixels": self.pixels[i : i + 1]}
            yield {**pixels, "slot": self.slots[i : i + 1]} if self.reads_slot else pixels

    def take(self, chosen: NDArray[np.int64], source: str | None = None) -> "Radiographs":
        """Return some of them, by position."""
        truth = None if self.truth is None else self.truth[chosen]
        patients = None if self.patients is None else self.patients[chosen]
        return replace(
            self,
            pixels=self.pixels[chosen],
            slots=self.slots[chosen],
            truth=truth,
            source=source or self.source,
            patients=patients,
        )


@dataclass(frozen=True)
class StudySource:
    """Where studies come from.

    path: a folder or a CSV table. split: rows of a table to take. finding: for the truth.
    intensity_profile: how DICOM files among them are read. geometry: of the pixels that are made of them.
    option: what an error calls it, since a folder may be named after a patient.
    """

    path: Path
    split: str | None = None
    finding: str = "Pneumonia"
    intensity_profile: str = PUBLISHED
    geometry: Geometry = ALTA_GEOMETRY
    option: str = "--calibration"


@dataclass(frozen=True)
class _Item:
    images: tuple[Path | None, ...]
    truth: bool | None
    patient: str = ""


def read_radiographs(
    source: StudySource,
    limit: int,
    fusion_mode: str,
    readable: Sequence[Slot] = tuple(Slot),
    *,
    reads_slot: bool = True,
) -> Radiographs:
    """Read up to `limit` studies, evenly spread over the source, in the slots that the fusion mode and family use.

    A folder's entries are studies: DICOM files or folders, JPEG or PNG frontals. A table has the columns
    of training (image_path, …) or of labels (image, findings). Raises CalibrationError for a source
    that is not there, holds too little, or has studies that cannot be read; none is named.
    """
    items = _list_table(source) if os.path.isfile(source.path) else _list_folder(source)
    chosen = spread_evenly(items, limit)
    pixels, slots, truth, patients = [], [], [], []
    problems: list[str] = []
    for number, item in enumerate(chosen, start=1):
        try:
            study = _read_item(item, source.intensity_profile)
        except AltaError as error:
            problems.append(f"study {number}: {error}")
            continue
        for slot in choose_slots(study.slots, fusion_mode, readable):
            pixels.append(study.radiographs[slot].pixels_for(source.geometry)[None])
            slots.append(int(slot))
            truth.append(item.truth if slot == Slot.FRONTAL else None)
            patients.append(item.patient or _read_patient(study.radiographs[slot]))
    if problems:
        raise CalibrationError(
            f"{len(problems)} of {len(chosen)} studies of {source.option} cannot be read, first {problems[0]}; "
            "take them out or mend them"
        )
    blank = sum(float(one.std()) < BLANK for one in pixels)
    if blank:
        raise CalibrationError(
            f"{blank} of {len(pixels)} radiographs of {source.option} are blank (one grey value): take them out"
        )
    if len(pixels) < MIN_RADIOGRAPHS:
        raise CalibrationError(
            f"{source.option} has {len(pixels)} usable radiographs: at least {MIN_RADIOGRAPHS} are needed"
        )
    labelled = all(one is not None for one in truth) and len(set(truth)) == 2
    return Radiographs(
        np.stack(pixels),
        np.array(slots, dtype=np.int64),
        np.array(truth, dtype=bool) if labelled else None,
        f"{len(chosen)} studies" + (f" of split {source.split}" if source.split else ""),
        reads_slot,
        np.array(patients) if all(patients) else None,
    )


def spread_evenly(items: Sequence[T], limit: int) -> list[T]:
    """Return up to `limit` of the items, from the first to the last at equal distances."""
    places = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
    return [items[i] for i in np.unique(places)]


def split_off(radiographs: Radiographs) -> tuple[Radiographs, Radiographs]:
    """Return four fifths to calibrate with, and those of every fifth patient, held out.

    Every fifth radiograph, where patients are not told. Raises CalibrationError for fewer than five patients.
    """
    order = np.arange(len(radiographs))
    groups, of = order, "radiograph"
    if radiographs.patients is not None:
        numbers = {patient: number for number, patient in enumerate(dict.fromkeys(radiographs.patients))}
        groups, of = np.array([numbers[patient] for patient in radiographs.patients]), "patient"
        if len(numbers) < HELD_OUT_EVERY:
            raise CalibrationError(
                f"--calibration has radiographs of {len(numbers)} patients, of whom every {HELD_OUT_EVERY}th would be "
                "held out: give more, or others as --held-out"
            )
    is_held = groups % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    held = f"every {HELD_OUT_EVERY}th {of} of the calibration set, not calibrated on"
    return radiographs.take(order[~is_held]), radiographs.take(order[is_held], held)


def _list_folder(source: StudySource) -> list[_Item]:
    if not os.path.isdir(source.path):
        raise CalibrationError(f"{source.option} not found: give a folder of studies or a CSV table")
    if source.split is not None:
        raise CalibrationError(f"{source.option} is a folder, which has no splits: leave {source.option}-split out")
    entries = sorted(entry for entry in source.path.iterdir() if not entry.name.startswith("."))
    if not entries:
        raise CalibrationError(f"{source.option} is an empty folder: give DICOM, JPEG or PNG studies")
    return [_Item((entry,), None) for entry in entries]


def _list_table(source: StudySource) -> list[_Item]:
    rows = read_rows(source.path, ("split",) if source.split else ())
    rows = [row for row in rows if source.split is None or row["split"] == source.split]
    if not rows:
        raise CalibrationError(f'{source.option} has no row of split "{source.split}"')
    base = source.path.parent
    if COLUMNS[0] in rows[0]:
        return [_Item(read_record_paths(row, base), None, _name_patient(row)) for row in rows]
    if "image" not in rows[0]:
        raise CalibrationError(f"{source.option} has neither a column image nor {COLUMNS[0]}")
    folder = base / "images" if os.path.isdir(base / "images") else base
    return [
        _Item((folder / row["image"],), is_positive(row.get("findings", ""), source.finding), _name_patient(row))
        for row in rows
    ]


def _name_patient(row: Mapping[str, str]) -> str:
    """Return whose a table's row is, empty if it does not tell."""
    return row.get(PATIENT, "").strip()


def _read_patient(radiograph: Radiograph) -> str:
    """Return whose a DICOM radiograph is, by PatientID and its issuer if told; empty if it does not tell.

    Without an issuer it is as a table names the patient, so that one is known in both.
    """
    if radiograph.origin is None:
        return ""
    try:
        stated = radiograph.origin.identifiers.get()
    except DicomError:  # a value that cannot be used names nobody
        return ""
    own, issuer = (stated.get(name, "").strip() for name in ("PatientID", "IssuerOfPatientID"))
    return f"{own}\n{issuer}" if own and issuer else own


def _read_item(item: _Item, profile: str) -> Study:
    """Read one study; the table's word counts for the view, as in training."""
    first, *others = item.images
    if first is None:
        raise CalibrationError("no current frontal image")
    load = partial(load_study, intensity_profile=profile, any_view=True, any_picture=True)
    study = load(first)
    radiographs = dict(study.radiographs)
    for slot, path in zip(list(Slot)[1:], others, strict=False):
        if path is not None:
            radiographs[slot] = load(path).radiographs[Slot.FRONTAL]
    return Study(radiographs)


def synthetic(pixels: NDArray[np.uint8], slots: Sequence[int], *, reads_slot: bool = True) -> Radiographs:
    """Return synthetic radiographs, for exports that were given none."""
    source = "synthetic images: no --held-out was given"
    return Radiographs(pixels, np.array(slots, dtype=np.int64), None, source, reads_slot, is_synthetic=True)
