"""A picture as a DICOM secondary capture: derived, in a series of its own, marked as not for clinical use.

By default it belongs to no patient: empty patient elements and new UIDs, as PS3.15 asks of a de-identified
object. pydicom is imported on use, and its exceptions, which quote values, do not leave this module.
"""

import io
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..errors import DicomError, StudyError
from .elements import IDENTIFIERS
from .files import Source, read_files
from .image import ImageOrigin

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_DESCRIPTION = "ALTA heat map - NOT FOR CLINICAL USE"
NO_DICOM = "no DICOM file to take identifiers from: a JPEG or PNG radiograph has none"
SERIES_NUMBER = 9001  # far from those of a detector
# Type 2: present, though without a value.
EMPTY = tuple(keyword for keyword in IDENTIFIERS if keyword not in ("IssuerOfPatientID", "StudyInstanceUID"))


def is_capture(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a capture."""
    return head[128:132] == b"DICM" and SERIES_DESCRIPTION.encode() in head and b"alta-sdk" in head


def take_identifiers(origin: ImageOrigin | None) -> dict[str, str]:
    """Return the patient and study elements of the file that pixels were read from.

    Raises StudyError or DicomError if there is none, or it cannot be filed by them.
    """
    if origin is None:
        raise StudyError(NO_DICOM)
    found = origin.identifiers.get()
    if not found["StudyInstanceUID"]:
        raise StudyError("study to take identifiers from has no StudyInstanceUID: an archive could not file it")
    return {name: value for name, value in found.items() if value}


def check_source(source: Source, origin: ImageOrigin | None) -> None:
    """Refuse files that pixels were not read from.

    Raises StudyError or DicomError if they cannot be read, are of more than one study, or the image is not among them.
    """
    files = [file for file in read_files(source).files if file.is_dicom]
    images = [image for file in files if (image := file.read_image()).has_pixels]
    if not images:
        raise StudyError(NO_DICOM)
    if len({(image.keys.study_uid, image.keys.patient_id) for image in images}) > 1:
        raise StudyError("files of more than one study: give the files of the one that the heat map is of")
    if origin is None or not any(origin.is_of(image) for image in images):
        raise StudyError("heat map was not drawn on an image of these files: identifiers come from its own file alone")


def encode_secondary_capture(
    picture: NDArray[np.uint8],
    description: str,
    comment: str,
    identifiers: Mapping[str, str],
    series: Mapping[str, str | int] = MappingProxyType({}),
) -> bytes:
    """Return the DICOM file of a picture (rows, columns, 3) uint8, whose disclaimer is burned in.

    description: how it was derived. comment: kept under ImageComments. identifiers: patient and study elements by
    keyword, written as they are; none if empty. series: SOPInstanceUID, SeriesInstanceUID and InstanceNumber of one
    that is always to be the same object. Raises DicomError if an element cannot be written.
    """
    file = io.BytesIO()
    try:
        capture = _make_capture(picture, description, comment, {**identifiers, **series})
        capture.save_as(file, enforce_file_format=True)
    except Exception as error:  # its message quotes the value
        raise DicomError("secondary capture cannot be written: an identifier of the study is not valid") from error
    return file.getvalue()


def _make_capture(
    picture: NDArray[np.uint8], description: str, comment: str, identifiers: Mapping[str, str | int]
) -> "Dataset":
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    now = datetime.now()
    capture = Dataset()
    capture.SpecificCharacterSet = "ISO_IR 192"
    capture.SOPClassUID, capture.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid(prefix=None)
    capture.StudyInstanceUID, capture.SeriesInstanceUID = generate_uid(prefix=None), generate_uid(prefix=None)
    for keyword in EMPTY:
        setattr(capture, keyword, "")
    capture.InstanceNumber = 1
    for keyword, value in identifiers.items():
        setattr(capture, keyword, value)
    capture.BodyPartExamined = "CHEST"
    capture.Modality, capture.ConversionType = "OT", "WSD"
    capture.SeriesNumber = SERIES_NUMBER
    capture.SeriesDescription = SERIES_DESCRIPTION
    capture.Manufacturer, capture.ManufacturerModelName = "alta-sdk", "alta-sdk"
    capture.SoftwareVersions = __version__
    capture.ContentDate = capture.DateOfSecondaryCapture = now.strftime("%Y%m%d")
    capture.ContentTime = capture.TimeOfSecondaryCapture = now.strftime("%H%M%S")
    capture.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    capture.PatientOrientation = ""
    capture.BurnedInAnnotation = "YES"
    capture.DerivationDescription = description
    capture.ImageComments = comment
    capture.SamplesPerPixel, capture.PhotometricInterpretation, capture.PlanarConfiguration = 3, "RGB", 0
    capture.Rows, capture.Columns = picture.shape[:2]
    capture.BitsAllocated, capture.BitsStored, capture.HighBit, capture.PixelRepresentation = 8, 8, 7, 0
    data = picture.tobytes()
    capture.PixelData = data + b"\0" * (len(data) % 2)
    capture["PixelData"].VR = "OB"
    capture.file_meta = FileMetaDataset()
    capture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return capture
