"""From DICOM files to examinations: the chest radiographs of each StudyInstanceUID, and what was set aside.

What is set aside is told in counts, codes and words of our own, never in a header's own text.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from ..dicom.copies import CopySearch
from ..dicom.decode_time import COPIES_S, DecodeTime
from ..dicom.files import Source, StudyFiles, read_files
from ..dicom.image import DicomImage, ImageKeys
from ..dicom.intensity import GreyOptions
from ..dicom.moments import Moment, make_moment
from ..dicom.study_file import StudyFile
from ..errors import DicomError, StudyError, ViewError

T = TypeVar("T")
SAME_UID = "another, different image here has the same SOPInstanceUID: one of the two is not what it says"
UNREAD = "cannot be read"
NO_UID = "no StudyInstanceUID says that the images here are of one study: they lay in one place"
SEVERAL_DAYS = "images of this study state different StudyDates: they may be of several studies"
NOT_COMPARED = "others here have the same SOPInstanceUID, and comparing them takes too long: it may not be what it says"


@dataclass(frozen=True)
class ReadOptions:
    """How DICOM studies are read; `Study.from_dicom` explains each.

    decode_time: what decoding may take, shared by all that is read with these options; copies_time: beside that,
    comparing images under one SOPInstanceUID.
    """

    grey: GreyOptions
    any_body_part: bool = False
    any_view: bool = False
    any_picture: bool = False
    allow_incomplete: bool = False
    decode_time: DecodeTime = field(default_factory=DecodeTime, compare=False)
    copies_time: DecodeTime = field(default_factory=lambda: DecodeTime(COPIES_S, goes_by_size=False), compare=False)


@dataclass(frozen=True)
class SetAside:
    """Something that was found and is not scored: where, what and why.

    part: "current", "prior", or "folder" (not of the two studies). what: a view, "image", "file" or "study".
    """

    part: str
    what: str
    why: str

    @property
    def is_unread(self) -> bool:
        """True for what could not be read, so that nobody knows what it is."""
        return self.why.startswith(UNREAD)


@dataclass(frozen=True, eq=False)
class Examination:
    """The chest radiographs of one StudyInstanceUID (at least one), of one patient."""

    images: tuple[DicomImage, ...]

    def is_same_study(self, other: "Examination") -> bool:
        """True if both state one StudyInstanceUID."""
        uid = self.images[0].keys.study_uid
        return bool(uid) and uid == other.images[0].keys.study_uid

    @property
    def patient_id(self) -> str:
        """The PatientID, empty if it is not stated."""
        return self.images[0].keys.patient_id

    @cached_property
    def moment(self) -> Moment | None:
        """When it was, by StudyDate, StudyTime and TimezoneOffsetFromUTC; None if no one real day is stated.

        The day alone if an offset cannot be read, or there are several.
        """
        keys = [image.keys for image in self.images]
        day = _stated_by_all([one.study_day for one in keys])
        time = _stated_by_all([one.study_time for one in keys])
        offsets = {one.utc_offset for one in keys} - {None}
        if len(offsets) > 1 or any(one.has_unread_offset for one in keys):
            return make_moment(day, None, None)
        return make_moment(day, time, offsets.pop() if offsets else None)


def read_examinations(source: Source, options: ReadOptions) -> tuple[list[Examination], list[SetAside]]:
    """Read the files of a source and group their chest radiographs by StudyInstanceUID.

    Returns at least one examination, in the order of the files, and what is no part of any.
    Raises DicomError for a file that is damaged, ViewError or StudyError if there is no chest radiograph,
    StudyError if one examination holds images of several patients.
    """
    files = read_files(source)
    aside = _set_unread_aside(files, options)
    images, others = _read_images(files, options)
    aside += others
    grouped: dict[str, list[DicomImage]] = defaultdict(list)
    refusal = ""
    for image in images:
        if image.body_part_refusal and not options.any_body_part:
            refusal = refusal or image.body_part_refusal
            aside.append(SetAside("folder", "image", image.body_part_refusal.partition(";")[0]))
        else:
            grouped[image.keys.study_uid].append(image)
    if not grouped and refusal:
        raise ViewError(refusal)
    if not grouped:
        way_out = "; give a JPEG or PNG file by itself" if any(file.is_image for file in files.files) else ""
        raise StudyError(f"no DICOM image in this study: the files are of other kinds{way_out}")
    return [_make_examination(found) for found in grouped.values()], aside


def _make_examination(images: Sequence[DicomImage]) -> Examination:
    """Return images of one StudyInstanceUID, or of none, as one examination, with what is doubtful about that.

    Raises StudyError if they are of several patients; without a StudyInstanceUID, also if they state several days.
    """
    keys = [image.keys for image in images]
    check_one_patient(keys)
    if not any(one.patient_id for one in keys) and len({_read_name(image) for image in images} - {""}) > 1:
        raise StudyError("images of one study are of several patients: the PatientName elements differ")
    told = []
    if len({one.study_day for one in keys} - {None}) > 1:
        if not keys[0].study_uid:
            raise StudyError("images without a StudyInstanceUID state different StudyDates: give each study by itself")
        told.append(SEVERAL_DAYS)
    if len(images) > 1 and not keys[0].study_uid:
        told.append(NO_UID)
    return Examination(tuple(replace(image, notices=(*image.notices, *told)) for image in images))


def _read_name(image: DicomImage) -> str:
    """Return the PatientName, however its parts are joined; empty if it is not stated, or malformed."""
    try:
        name = image.identifiers.get()["PatientName"]
    except DicomError:
        return ""
    return " ".join(name.partition("=")[0].replace("^", " ").replace(",", " ").casefold().split())


def check_one_patient(keys: Sequence[ImageKeys], message: str = "images of one study are of several patients") -> None:
    """Raise StudyError unless images are of one patient.

    The PatientID elements must be equal; IssuerOfPatientID and PatientBirthDate must be equal where two
    headers state them, because two hospitals may have given one ID to two people.
    """
    stated = {
        "PatientID": {one.patient_id for one in keys},
        "IssuerOfPatientID": {one.issuer for one in keys} - {""},
        "PatientBirthDate": {one.birth_date for one in keys} - {""},
    }
    for keyword, values in stated.items():
        if len(values) > 1:
            raise StudyError(f"{message}: the {keyword} elements differ")


def _set_unread_aside(files: StudyFiles, options: ReadOptions) -> list[SetAside]:
    """Return what of a study's files is no file or could not be read; the latter is refused unless it may be missing.

    What cannot be read may be the lateral radiograph, or another patient's.
    """
    losses = [file.loss for file in files.files if file.loss] if len(files.files) > 1 else []
    unread = [*files.unread, *losses]
    if unread and not options.allow_incomplete:
        reasons = ", ".join(sorted(set(unread)))
        raise StudyError(
            f"part of the study cannot be read ({len(unread)} files or folders: {reasons}): give access to all "
            "of it, whole and unpacked, or pass allow_incomplete=True (--allow-incomplete) to go on with the rest"
        )
    aside = [SetAside("folder", "file", "a pipe, socket or device")] * files.special
    return aside + [SetAside("folder", "file", f"{UNREAD}: {reason}") for reason in unread]


def _read_images(study: StudyFiles, options: ReadOptions) -> tuple[list[DicomImage], list[SetAside]]:
    """Return all images; a single file must be one, beside others lie notes and reports."""
    files = study.files
    images: list[DicomImage] = []
    aside: list[SetAside] = []
    for number, file in enumerate(files, start=1):
        is_beside = len(files) > 1 or file.is_image and not study.is_one_file
        if is_beside and not file.is_dicom:
            if not file.loss:  # that is told already
                aside.append(SetAside("folder", "file", "not DICOM"))
            continue
        image = _read_numbered(file, number, len(files))
        if len(files) > 1 and not image.has_pixels:  # reports and presentation states
            aside.append(SetAside("folder", "file", "DICOM without an image"))
        else:
            images.append(image.share_time(options.decode_time))
    return _join_copies(images, aside, CopySearch(options.copies_time)), aside


def _join_copies(images: Sequence[DicomImage], aside: list[SetAside], search: CopySearch) -> list[DicomImage]:
    """Keep one of the copies of an image; of different ones under one SOPInstanceUID keep each, and tell it."""
    kept: dict[str, list[DicomImage]] = defaultdict(list)
    told: dict[str, str] = {}
    for number, image in enumerate(images):
        uid = image.keys.instance_uid or f"/{number}"  # no UID has a slash
        answers = [search.is_copy(twin, image) for twin in kept[uid]]
        if any(answers):
            aside.append(SetAside("folder", "file", "a copy of an image that is here already"))
            continue
        kept[uid].append(image)
        if answers:
            told[uid] = NOT_COMPARED if None in answers and told.get(uid) != SAME_UID else SAME_UID
    return [
        replace(image, notices=(*image.notices, told[uid])) if uid in told else image
        for uid, twins in kept.items()
        for image in twins
    ]


def _read_numbered(file: StudyFile, number: int, count: int) -> DicomImage:
    try:
        return file.read_image()
    except DicomError as error:
        if count == 1:
            raise
        raise DicomError(f"file {number} of {count}: {error}") from error


def _stated_by_all(values: Sequence[T | None]) -> T | None:
    """Return what every image states that states anything; None if they differ."""
    stated = {value for value in values if value is not None}
    return stated.pop() if len(stated) == 1 else None
