"""Files under one SOPInstanceUID: copies are set aside, different images are kept and told."""

import itertools

import numpy as np
import pydicom
import pytest
from pydicom import uid

from alta_sdk import Slot, Study, StudyError
from alta_sdk.study.examination import SAME_UID

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
