"""What an archive keeps of a study beside its vector: age, sex, view and month, by which it can be filtered.

Never a name, an ID, a UID, an accession number or, unless it is asked for, a day.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..dicom.files import StudyFiles
from ..dicom.image import DicomImage
from ..errors import StudyError
from ..study.slots import Slot
from ..study.study import Study

SEXES = ("F", "M", "O")
OLDEST = 120
_CODE = re.compile("[A-Z]{1,16}")


def describe_study(study: Study, files: StudyFiles, stated: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a study, None where nothing is known. stated: what a table says, which goes first.

    age: whole years at the study's day. sex: F, M or O. view: of the frontal radiograph (PA, AP). study_month:
    2024-05. study_date: the day; kept only in an archive that has the column. slots: frontal+lateral.
    """
    image = _find_frontal(study, files)
    header = {} if image is None else _describe_header(image)
    found = {**header, **{name: value for name, value in _check_stated(stated).items() if value is not None}}
    return {**found, "slots": "+".join(slot.name.lower() for slot in study.slots)}


def _find_frontal(study: Study, files: StudyFiles) -> DicomImage | None:
    """Return what the file of the frontal radiograph says, None for a picture."""
    origin = study.radiographs[Slot.FRONTAL].origin
    if origin is None:
        return None
    for file in files.files:
        try:
            if file.is_dicom and origin.is_of(image := file.read_image()):
                return image
        except StudyError:
            continue
    return None


def _describe_header(image: DicomImage) -> dict[str, Any]:
    keys, day = image.keys, image.keys.study_day
    return {
        "age": _count_years(keys.birth_date, "" if day is None else day.strftime("%Y%m%d")),
        "sex": _check_sex(_read_sex(image)),
        "view": image.view_position or None,
        "study_month": None if day is None else day.strftime("%Y-%m"),
        "study_date": None if day is None else day.date(),
    }


def _read_sex(image: DicomImage) -> str:
    try:
        return image.identifiers.get().get("PatientSex", "")
    except StudyError:  # a malformed one refuses no radiograph
        return ""


def _count_years(birth: str, day: str) -> int | None:
    """Return the whole years between two days, YYYYMMDD, None if one is not stated or nobody is that old."""
    if not birth or not day:
        return None
    years = int(day[:4]) - int(birth[:4]) - (day[4:] < birth[4:])
    return years if 0 <= years <= OLDEST else None


def _check_sex(text: str) -> str | None:
    sex = text.strip().upper()
    return sex if sex in SEXES else None


def _check_stated(stated: Mapping[str, str]) -> dict[str, Any]:
    """Return the cells of a table that are an age, a sex and a view; what is none is not known."""
    age = re.fullmatch(r"0*(\d{1,3})(?:\.\d+)?\s*[Yy]?", stated.get("age", ""))
    view = stated.get("view", "").upper()
    return {
        "age": int(age[1]) if age and int(age[1]) <= OLDEST else None,
        "sex": _check_sex(stated.get("sex", "")),
        "view": view if _CODE.fullmatch(view) else None,
    }
