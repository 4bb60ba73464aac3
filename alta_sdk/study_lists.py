"""From what a person names to studies, one by one: a folder may be one study or hold many."""

import os
from pathlib import Path

from .dicom import is_dicom
from .errors import StudyError

MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"PK\x03\x04")  # JPEG, PNG, zip


def list_studies(path: str | os.PathLike[str]) -> list[Path]:
    """Return the studies at a path: the path itself, or each entry of a folder that holds several.

    A folder is one study if its DICOM files share one StudyInstanceUID. Otherwise each file, folder and zip
    that lies directly in it is a study of its own, by name; notes and other files are passed over.
    Raises StudyError if the folder cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [folder]
    try:
        if _is_one_study(folder):
            return [folder]
        entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
        studies = [entry for entry in entries if entry.is_dir() or _may_be_study(entry)]
    except OSError as error:
        raise StudyError(f"study cannot be read: {error.strerror or 'read error'}; check the path") from error
    return studies or [folder]


def _is_one_study(folder: Path) -> bool:
    """True if DICOM files of one study lie anywhere in the folder, and none of another."""
    found: set[str] = set()
    for file in folder.rglob("*"):
        if file.is_file() and (uid := _read_study_uid(file)):
            found.add(uid)
            if len(found) > 1:
                return False
    return len(found) == 1


def _read_study_uid(file: Path) -> str:
    """Return a file's StudyInstanceUID, without reading its pixels; empty if there is none."""
    import pydicom

    with open(file, "rb") as opened:
        if not is_dicom(opened.read(132)):
            return ""
        opened.seek(0)
        try:
            header = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
            return str(header.get("StudyInstanceUID") or "")
        except Exception:  # pydicom raises more kinds than it documents; the study's own reading says what is wrong
            return ""


def _may_be_study(file: Path) -> bool:
    with open(file, "rb") as opened:
        mark = opened.read(132)
    return is_dicom(mark) or mark.startswith(MARKS)
