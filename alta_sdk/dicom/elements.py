"""The elements that are read of a DICOM file: all others are passed over, whatever they hold.

A header may have a hundred thousand elements, or one of a gigabyte: what nobody asks for costs neither time nor
memory, and cannot be malformed. A test holds this list against the keywords that the room uses.
"""

from functools import cache

# Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): enough for an archive to file it with the study.
IDENTIFIERS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
# Of the data set itself.
READ = """
    SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID StudyDate SeriesDate AcquisitionDate ContentDate
    AcquisitionDateTime StudyTime SeriesTime AcquisitionTime ContentTime AccessionNumber Modality
    PresentationIntentType TimezoneOffsetFromUTC ReferringPhysicianName StudyDescription SeriesDescription
    AnatomicRegionSequence PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex BodyPartExamined
    ProtocolName AcquisitionDeviceProcessingDescription ViewPosition StudyInstanceUID SeriesInstanceUID StudyID
    PatientOrientation
    PixelData FloatPixelData DoubleFloatPixelData SamplesPerPixel
    PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored
    HighBit PixelRepresentation QualityControlImage BurnedInAnnotation PixelPaddingValue PixelPaddingRangeLimit
    WindowCenter WindowWidth RescaleIntercept RescaleSlope VOILUTFunction PartialView LossyImageCompression
    ModalityLUTSequence VOILUTSequence RequestedProcedureDescription PerformedProcedureStepDescription
    ViewCodeSequence PresentationLUTSequence PresentationLUTShape ImageHorizontalFlip ImageRotation
    DirectoryRecordSequence
""".split()
# Of the items of its sequences, at any depth.
READ_OF_ITEMS = """
    SpecificCharacterSet CodeValue CodingSchemeDesignator CodeMeaning ViewModifierCodeSequence LUTDescriptor
    ModalityLUTType LUTData DirectoryRecordType ReferencedFileID
""".split()
# Of those: what profile voi-v1 alone shows, and what a heat map or a report alone is filed by. A malformed one is told
# where it is needed, if ever; the others decide about every image, and refuse the file.
NEEDED_LATER = """
    WindowCenter WindowWidth RescaleIntercept RescaleSlope VOILUTFunction PixelPaddingValue PixelPaddingRangeLimit
    ModalityLUTSequence VOILUTSequence PresentationLUTSequence PresentationLUTShape LUTDescriptor LUTData
    PatientName PatientSex StudyID AccessionNumber ReferringPhysicianName SeriesInstanceUID
""".split()

# What only orders images or describes them: a malformed one, or one that is too long, is taken as not stated.
NOT_DECIDING = """
    ImageType StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime StudyTime SeriesTime AcquisitionTime
    ContentTime TimezoneOffsetFromUTC StudyDescription SeriesDescription ProtocolName
    AcquisitionDeviceProcessingDescription RequestedProcedureDescription PerformedProcedureStepDescription
    PatientOrientation BurnedInAnnotation LossyImageCompression
""".split()


@cache
def read_tags() -> frozenset[int]:
    """Return the tags that are read of a data set."""
    return _tags_of(READ)


@cache
def item_tags() -> frozenset[int]:
    """Return the tags that are read of a sequence's items."""
    return _tags_of(READ_OF_ITEMS)


@cache
def later_tags() -> frozenset[int]:
    """Return the tags of the elements whose refusal waits until one of them is needed."""
    return _tags_of(NEEDED_LATER)


@cache
def optional_tags() -> frozenset[int]:
    """Return the tags of the elements that are passed over where they are malformed."""
    return _tags_of(NOT_DECIDING)


def _tags_of(keywords: list[str]) -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    return frozenset(tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None)
