"""A study's name, number and date as its radiographs state them: only where the configuration allows to show them.

They are read from the spool each time and kept nowhere else; once the images are removed, nobody can show them.
"""

from dataclasses import dataclass

from ...dicom.parsing import parse_dicom
from ...errors import DicomError
from .view import ServiceView

_MOST = 64


@dataclass(frozen=True)
class Identifiers:
    """Patient data; "" for what is not stated."""

    patient_name: str
    patient_id: str
    accession_number: str
    study_date: str


def read_identifiers(view: ServiceView, key: str) -> Identifiers | None:
    """Return what the first image of a study that is kept states, or None if none is."""
    for instance in view.store.list_instances(key):
        if instance.file:
            try:
                with view.spool.find(instance.file).open("rb") as file:
                    header = parse_dicom(file)
            except (OSError, DicomError):  # removed meanwhile, or one that scoring refuses, too
                continue
            names = ("PatientName", "PatientID", "AccessionNumber", "StudyDate")
            return Identifiers(*(str(header.get(name) or "")[:_MOST] for name in names))
    return None
