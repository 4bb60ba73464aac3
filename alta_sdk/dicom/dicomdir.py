"""A DICOMDIR (PS3.10 section 8): which files of a medium are images, found without leaving its folder.

The threat is a file ID that leads elsewhere; media that were copied often changed the case of names.
"""

from pathlib import Path

from ..errors import DicomError, StudyError
from .parsing import parse_dicom

MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"
MAX_IDS = 10_000


def is_dicomdir(data: bytes) -> bool:
    """True if the file meta information says Media Storage Directory."""
    return data[128:132] == b"DICM" and MEDIA_STORAGE_DIRECTORY in data[:1024]


def list_images(data: bytes, folder: Path) -> list[Path]:
    """Return the images that a DICOMDIR lists, in the order of its records.

    data: the DICOMDIR. folder: where it lies, which its file IDs start from.
    Raises DicomError if it is damaged, StudyError if it lists no image, or one that is not there.
    """
    found = [_find(folder, file_id) for file_id in _image_ids(data)]
    missing = sum(path is None for path in found)
    if missing or not found:
        raise StudyError(
            f"DICOMDIR lists {missing} of {len(found)} images that are not beside it: copy the whole medium"
            if found
            else "DICOMDIR lists no image"
        )
    return [path for path in found if path is not None]


def _image_ids(data: bytes) -> list[list[str]]:
    records = parse_dicom(data).get("DirectoryRecordSequence") or []
    if len(records) > MAX_IDS:
        raise DicomError(f"DICOMDIR has more than {MAX_IDS} records: give the folder of one study")
    ids: list[list[str]] = []
    for record in records:
        file_id = record.get("ReferencedFileID")
        if str(record.get("DirectoryRecordType") or "").strip() == "IMAGE" and file_id:
            ids.append([file_id] if isinstance(file_id, str) else [str(part) for part in file_id])
    return ids


def _find(folder: Path, file_id: list[str]) -> Path | None:
    """Return the file of an ID, names compared without case; None if there is none below the folder."""
    place = folder
    for part in file_id:
        if part in ("", ".", "..") or set(part) & set("/\\:\0") or not place.is_dir():
            return None
        exact = place / part
        names = [exact] if exact.exists() else [one for one in place.iterdir() if one.name.lower() == part.lower()]
        if not names:
            return None
        place = names[0]
    is_inside = place.resolve().is_relative_to(folder.resolve())
    return place if is_inside and place.is_file() else None
