"""Files under one SOPInstanceUID: copies are set aside, different images are kept and told."""

import itertools

import numpy as np
import pydicom
import pytest
from pydicom import uid

from alta_sdk import Slot, Study, StudyError
from alta_sdk.dicom import decode_time, decoding, pixels
from alta_sdk.dicom.decode_time import DecodeTime
from alta_sdk.dicom.intensity import PUBLISHED, VOI, GreyOptions
from alta_sdk.study.examination import NOT_COMPARED, SAME_UID, ReadOptions, read_examinations

ONE = {"SOPInstanceUID": "1.2.77"}
OTHER_PIXELS = np.random.default_rng(9).integers(0, 4096, (300, 280), dtype=np.uint16)


def set_aside(study):
    return [item["why"] for item in study.explain()["set_aside"]]


def test_a_copy_is_set_aside_whatever_codes_it(make_dicom):
    first, again, coded = make_dicom("a.dcm", **ONE), make_dicom("b.dcm", **ONE), make_dicom("c.dcm", **ONE)
    header = pydicom.dcmread(coded)
    header.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    header.save_as(coded)
    for files in itertools.permutations([first, again, coded]):
        study = Study.from_dicom(files)
        assert set_aside(study) == ["a copy of an image that is here already"]
        assert study.radiographs[Slot.FRONTAL].notices == ()


def test_two_different_images_under_one_uid_are_both_there_and_told(make_dicom):
    files = [make_dicom("a.dcm", **ONE), make_dicom("b.dcm", OTHER_PIXELS, ViewPosition="LL", **ONE)]
    for order in (files, files[::-1]):
        study = Study.from_dicom(order)
        assert study.slots == (Slot.FRONTAL, Slot.LATERAL)
        assert all(radiograph.notices == (SAME_UID,) for radiograph in study.radiographs.values())
        noise = "frontal: picture looks like noise: check that it is a radiograph"
        assert study.read_notes([Slot.FRONTAL]) == [f"frontal: {SAME_UID}", noise]


def test_of_two_frontals_under_one_uid_the_same_is_taken_in_any_order_and_told(make_dicom):
    files = [make_dicom("a.dcm", **ONE), make_dicom("b.dcm", OTHER_PIXELS, **ONE)]
    one, other = (Study.from_dicom(order) for order in (files, files[::-1]))
    for study in (one, other):
        assert study.radiographs[Slot.FRONTAL].notices == (SAME_UID,)
        assert len(set_aside(study)) == 1 and "another was taken" in set_aside(study)[0]
    np.testing.assert_array_equal(one.radiographs[Slot.FRONTAL].grey_u8, other.radiographs[Slot.FRONTAL].grey_u8)


@pytest.mark.parametrize(
    ("elements", "message"),
    [({"PatientID": "P2"}, "several patients"), ({"StudyInstanceUID": "1.9"}, "more than one study")],
)
def test_one_image_under_two_names_is_refused(make_dicom, elements, message):
    files = [make_dicom("a.dcm", **ONE), make_dicom("b.dcm", **ONE, **elements)]
    with pytest.raises(StudyError, match=message):
        Study.from_dicom(files)


def test_images_without_a_uid_are_no_copies(make_dicom):
    files = [make_dicom("a.dcm"), make_dicom("b.dcm")]
    for path in files:
        header = pydicom.dcmread(path)
        del header.SOPInstanceUID
        header.save_as(path)
    assert "another was taken" in set_aside(Study.from_dicom(files))[0]


@pytest.mark.parametrize("profile", [PUBLISHED, VOI])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"PhotometricInterpretation": "MONOCHROME1"}),
        ({}, {"Rows": 280, "Columns": 300}),
        ({"WindowCenter": 2000, "WindowWidth": 3000}, {"WindowCenter": 1000, "WindowWidth": 500}),
        ({}, {"WindowCenter": 1000, "WindowWidth": 500}),
        ({}, {"PixelRepresentation": 1}),
        ({}, {"BitsStored": 11, "HighBit": 10}),
        ({}, {"HighBit": 12}),
        ({}, {"RescaleSlope": -1, "RescaleIntercept": 4095}),
        ({}, {"PresentationLUTShape": "INVERSE"}),
        ({}, {"PixelPaddingValue": 0}),
        ({}, {"BurnedInAnnotation": "YES"}),
        ({}, {"ImageType": ["DERIVED", "PRIMARY"]}),
        ({}, {"PatientOrientation": ["R", "F"]}),
    ],
)
def test_the_same_bytes_under_one_uid_that_are_read_in_another_way_are_told(make_dicom, one, other, profile):
    pixels = np.random.default_rng(5).integers(1, 1024, (300, 280), dtype=np.uint16)
    files = [make_dicom("a.dcm", pixels, **ONE, **one), make_dicom("b.dcm", pixels, **ONE, **other)]
    studies = [Study.from_dicom(order, intensity_profile=profile) for order in (files, files[::-1])]
    for study in studies:
        assert SAME_UID in study.radiographs[Slot.FRONTAL].notices
        assert len(set_aside(study)) == 1 and "another was taken" in set_aside(study)[0]
    assert studies[0] == studies[1]


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless])
def test_a_copy_is_one_in_every_coding(make_dicom, syntax):
    files = [make_dicom("a.dcm", **ONE, WindowCenter=50, WindowWidth=90), make_dicom("b.dcm", **ONE)]
    header = pydicom.dcmread(files[0])
    list(header.iterall())  # or they are written as the bytes that they were read from
    if syntax.is_compressed:
        header.compress(syntax, generate_instance_uid=False)
    elif not syntax.is_little_endian:
        header.PixelData = header.pixel_array.astype(">u2").tobytes()
    header.file_meta.TransferSyntaxUID = syntax
    form = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian, "force_encoding": True}
    pydicom.dcmwrite(files[1], header, **({} if syntax.is_compressed else form))
    for order in (files, files[::-1]):
        assert set_aside(Study.from_dicom(order)) == ["a copy of an image that is here already"]


@pytest.fixture
def decoded(monkeypatch):
    """The codings of the frames that were decoded in a worker, in turn."""
    codings = []
    decode = decoding.decode_compressed

    def count(source, syntax, options, shared=None, **how):
        codings.append(syntax)
        return decode(source, syntax, options, shared, **how)

    monkeypatch.setattr(pixels, "decode_compressed", count)
    return codings


def compressed(make_dicom, count, first=0):
    """Write different images of one UID, each of the same header."""
    files = [make_dicom(f"{number}.dcm", np.roll(OTHER_PIXELS, number), **ONE) for number in range(first, count)]
    for path in files:
        header = pydicom.dcmread(path)
        header.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        header.save_as(path)
    return files


def test_each_of_many_images_under_one_uid_is_decoded_once_to_compare_them(make_dicom, decoded):
    files = compressed(make_dicom, 12)
    study = Study.from_dicom(files)
    assert len(decoded) == 12 + 1  # the one that is taken, again
    assert study.radiographs[Slot.FRONTAL].notices == (SAME_UID,)
    decoded.clear()
    read_examinations(files * 3, ReadOptions(GreyOptions()))
    assert len(decoded) == 12


def test_what_there_is_no_time_to_compare_is_kept_and_told(make_dicom, decoded, monkeypatch):
    files = compressed(make_dicom, 6)
    options = ReadOptions(GreyOptions(), copies_time=DecodeTime(0.0, goes_by_size=False))
    examinations, aside = read_examinations([*files, files[0]], options)
    assert decoded == [] and [item.why for item in aside] == ["a copy of an image that is here already"]
    assert [image.notices for image in examinations[0].images] == [(NOT_COMPARED,)] * 6
    monkeypatch.setattr(decode_time.DecodeTime, "charge", lambda self, *seconds: setattr(self, "_left", 0.0))
    decoded.clear()
    read_examinations(files, ReadOptions(GreyOptions()))
    assert len(decoded) == 1


def test_a_study_whose_images_take_too_long_together_is_refused_in_one_line(make_dicom, decoded, monkeypatch):
    frontal, lateral = compressed(make_dicom, 2)
    for path, view in ((frontal, "PA"), (lateral, "LL")):
        header = pydicom.dcmread(path)
        header.ViewPosition, header.SOPInstanceUID = view, f"1.2.78.{len(view)}{view == 'PA':d}"
        header.save_as(path)
    assert Study.from_dicom([frontal, lateral]).slots == (Slot.FRONTAL, Slot.LATERAL)
    monkeypatch.setattr(decode_time.DecodeTime, "charge", lambda self, *seconds: setattr(self, "_left", 0.0))
    decoded.clear()
    with pytest.raises(StudyError, match="images of this study take more than 4 s and 1 s a MiB to decode together"):
        Study.from_dicom([frontal, lateral])
    assert len(decoded) == 2
