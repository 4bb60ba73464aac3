"""A DICOMDIR (PS3.10 section 8): which files of a medium are images, found without leaving its folder.

The threat is a file ID that leads elsewhere; media that were copied often changed the case of names.
"""

import os
from pathlib import Path

from ..errors import DicomError, StudyError
from .bounded_file import ReadBudget
from .parsing import parse_dicom

MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"
MAX_RECORDS = 10_000
MAX_IMAGES = 1000  # of one study
MAX_PARTS = 8  # of a file ID (PS3.10 section 8.2.1)


def is_dicomdir(data: bytes) -> bool:
    """True if the file meta information says Media Storage Directory."""
    return data[128:132] == b"DICM" and MEDIA_STORAGE_DIRECTORY in data[:1024]


def list_images(data: bytes, folder: Path, budget: ReadBudget | None = None) -> list[Path]:
    """Return the images that a DICOMDIR lists, in the order of its records.

    data: the DICOMDIR. folder: where it lies, which its file IDs start from. budget: shared with other files.
    Raises DicomError if it is damaged, StudyError if it lists no image, or one that is not there.
    """
    ids = _image_ids(data, budget)
    if len(ids) > MAX_IMAGES:
        raise StudyError(f"DICOMDIR lists more than {MAX_IMAGES} images: give the folder of one study")
    names: dict[Path, dict[str, Path]] = {}
    found = [_find(folder, file_id, names) for file_id in ids]
    missing = sum(path is None for path in found)
    if missing or not found:
        raise StudyError(
            f"DICOMDIR lists {missing} of {len(found)} images that are not beside it: copy the whole medium"
            if found
            else "DICOMDIR lists no image"
        )
    return [path for path in found if path is not None]


def _image_ids(data: bytes, budget: ReadBudget | None) -> list[list[str]]:
    records = parse_dicom(data, budget).get("DirectoryRecordSequence") or []
    if len(records) > MAX_RECORDS:
        raise DicomError(f"DICOMDIR has more than {MAX_RECORDS} records: give the folder of one study")
    ids: list[list[str]] = []
    for record in records:
        file_id = record.get("ReferencedFileID")
        if str(record.get("DirectoryRecordType") or "").strip() == "IMAGE" and file_id:
            ids.append([file_id] if isinstance(file_id, str) else [str(part) for part in file_id])
    return ids


def _find(folder: Path, file_id: list[str], names: dict[Path, dict[str, Path]]) -> Path | None:
    """Return the file of an ID, names compared without case; None if there is none below the folder.

    names: what the folders hold that were looked through already, by names in lower case.
    """
    if len(file_id) > MAX_PARTS:
        return None
    place = folder
    for part in file_id:
        if part in ("", ".", "..") or set(part) & set("/\\:\0") or not os.path.isdir(place):
            return None
        exact = place / part
        if not os.path.lexists(exact):
            if place not in names:
                names[place] = {one.name.lower(): one for one in sorted(place.iterdir(), reverse=True)}
            found = names[place].get(part.lower())
            if found is None:
                return None
            exact = found
        place = exact
    is_inside = Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))
    return place if is_inside and os.path.isfile(place) else None
