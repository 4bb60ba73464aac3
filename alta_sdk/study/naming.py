"""What a study is called in a result: its number in the run, its opaque key, and, only if asked for, who it is.

The number says which of those that were given; the key (`key.py`) is stable on one site and says nothing elsewhere.
Path, StudyInstanceUID and AccessionNumber are patient data. A study that failed is named as any other.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dicom.files import StudyFiles
from ..errors import AltaError, DicomError
from ..files.shown import escape_bytes
from .key import SiteKey, identify_study, identify_uid, identify_unreadable
from .slots import Slot
from .study import Study

STUDY_UID, ACCESSION = "StudyInstanceUID", "AccessionNumber"


@dataclass(frozen=True)
class Identifiers:
    """Who a study is: patient data. path: of its first file or its folder; the others are empty if not stated."""

    path: str = field(repr=False)
    study_instance_uid: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)

    def as_dict(self) -> dict[str, str | None]:
        """Return plain types, ready for JSON: what is not stated is null."""
        return {
            "path": self.path,
            "study_instance_uid": self.study_instance_uid or None,
            "accession_number": self.accession_number or None,
        }


@dataclass(frozen=True)
class StudyName:
    """number: from 1, in what was given. key: opaque, empty where none was asked for or no site key can be had."""

    number: int
    key: str = ""
    identifiers: Identifiers | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        told: dict[str, Any] = {"number": self.number, "key": self.key or None}
        return told if self.identifiers is None else told | self.identifiers.as_dict()


@dataclass(frozen=True)
class Failure:
    """Why a study has no result: the class of the error, and its message, which names nobody."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: AltaError) -> "Failure":
        """Keep what an error says, and nothing that it holds."""
        return cls(type(error).__name__, str(error))

    def __str__(self) -> str:
        """Return it as a command prints it."""
        return f"{self.kind}: {self.message}"

    def as_dict(self) -> dict[str, str]:
        """Return plain types, ready for JSON."""
        return {"class": self.kind, "message": self.message}


@dataclass(frozen=True)
class StudyNamer:
    """Names studies under a site key (none: without keys), with identifiers if they are asked for."""

    site_key: SiteKey | None = None
    with_identifiers: bool = False

    def name(self, number: int, path: Path, files: StudyFiles | None = None, study: Study | None = None) -> StudyName:
        """Name the study at a path.

        files: what was read there; read here if nothing else tells. study: what was made of them: of several studies
        at one path, the current one is named. Raises nothing of its own.
        """
        if self.site_key is None and not self.with_identifiers:
            return StudyName(number)
        stated = _read_stated(files, study)
        key = "" if self.site_key is None else self.site_key.sign(_identify(path, files, stated)).hex()
        if not self.with_identifiers:
            return StudyName(number, key)
        who = Identifiers(escape_bytes(str(path)), stated.get(STUDY_UID, ""), stated.get(ACCESSION, ""))
        return StudyName(number, key, who)


def name_pair(namer: StudyNamer, current: tuple[Path, Study], prior: tuple[Path, Study]) -> list[dict[str, Any]]:
    """Return the names of a study and of its prior, each with its role, in plain types: numbers 1 and 2."""
    sides = {"current": current, "prior": prior}
    return [
        {**namer.name(number, path, study=study).as_dict(), "role": role}
        for number, (role, (path, study)) in enumerate(sides.items(), start=1)
    ]


def _identify(path: Path, files: StudyFiles | None, stated: dict[str, str]) -> bytes:
    if uid := stated.get(STUDY_UID):
        return identify_uid(uid)
    try:
        return identify_study(path if files is None else files)
    except OSError:  # a disk that fails now
        return identify_unreadable(path)


def _read_stated(files: StudyFiles | None, study: Study | None) -> dict[str, str]:
    """Return the patient and study elements of the current frontal radiograph, else of the first file with a UID."""
    if study is not None:
        origin = study.radiographs[Slot.FRONTAL].origin
        found = [] if origin is None else [origin.identifiers]
    else:
        found = [image.identifiers for file in (files.files if files else ()) if (image := file.find_image())]
    for identifiers in found:
        try:
            stated = {name: value.strip() for name, value in identifiers.get().items()}
        except DicomError:  # one of them is malformed: none is taken
            continue
        if stated.get(STUDY_UID):
            return stated
    return {}
