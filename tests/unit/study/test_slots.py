"""Slots: which of several images is taken, and that the reason is told."""

import json

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset

from alta_sdk import Slot, Study, ViewError
from alta_sdk.dicom.image import interpret_header
from alta_sdk.dicom.views import View
from alta_sdk.study.examination import Examination
from alta_sdk.study.slots import CURRENT_SLOTS, select_images


def shades(grey):
    """Return an image whose mean says which one it is."""
    image = np.full((280, 260), grey, np.uint16)
    image[np.arange(260), np.arange(260)] = np.linspace(grey, 4000, 260, dtype=np.uint16)
    return image


@pytest.mark.parametrize(
    ("better", "worse", "rule"),
    [
        ({}, {"ViewPosition": "", "SeriesDescription": "PA"}, "more confidence"),
        ({}, {"PresentationIntentType": "FOR PROCESSING"}, "for presentation"),
        ({}, {"Modality": "SC"}, "not a capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, {"ImageType": ["DERIVED", "PRIMARY"]}, "not derived"),
        ({}, {"BurnedInAnnotation": "YES"}, "burned-in"),
        ({}, {"LossyImageCompression": "01"}, "with loss"),
        ({"AcquisitionTime": "101500"}, {"AcquisitionTime": "101459.5"}, "acquired last"),
        ({"AcquisitionTime": "101500"}, {"AcquisitionTime": "999999"}, "acquired last"),
        (
            {"AcquisitionDateTime": "20240101100000-0500"},
            {"AcquisitionDateTime": "20240101110000+0100"},
            "acquired last",
        ),
        ({"SOPInstanceUID": "1.2.4"}, {"SOPInstanceUID": "1.2.3"}, "later instance"),
    ],
)
def test_the_better_of_two_frontals_is_taken_in_any_order(make_dicom, better, worse, rule):
    good, bad = make_dicom("good.dcm", shades(100), **better), make_dicom("bad.dcm", shades(2000), **worse)
    for files in ([good, bad], [bad, good]):
        study = Study.from_dicom(files)
        assert study.radiographs[Slot.FRONTAL].grey_u8.mean() < 50
        explained = study.explain()
        assert rule in explained["slots"]["frontal"]["chosen"]
        assert [(item["part"], item["what"]) for item in explained["set_aside"]] == [("current", "frontal")]


def test_the_larger_of_two_images_is_taken(make_dicom):
    small = make_dicom("a.dcm", np.ones((100, 100), np.uint16), SOPInstanceUID="1.9")
    large = make_dicom("b.dcm", SOPInstanceUID="1.2")
    assert Study.from_dicom([small, large]).radiographs[Slot.FRONTAL].grey_u8.shape == (300, 280)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"QualityControlImage": "YES"}, "quality control"),
        ({"PartialView": "YES"}, "partial view"),
        ({"ImageRotation": 90}, "upright"),
        ({"ImageHorizontalFlip": "Y"}, "upright"),
    ],
)
def test_images_that_must_not_be_scored_are_set_aside_or_refused(make_dicom, elements, reason):
    unusable = make_dicom("a.dcm", **elements)
    with pytest.raises(ViewError, match=f"no usable frontal.*1 frontal that is.*{reason}"):
        Study.from_dicom(unusable)
    study = Study.from_dicom([unusable, make_dicom("b.dcm")])
    assert reason in study.explain()["set_aside"][0]["why"]


def test_a_study_without_a_frontal_lists_what_was_found(make_dicom):
    files = [
        make_dicom("a.dcm", ViewPosition="LL"),
        make_dicom("b.dcm", ViewPosition="RLD"),
        make_dicom("c.dcm", ViewPosition="DOE JANE"),
    ]
    with pytest.raises(ViewError) as caught:
        Study.from_dicom(files)
    assert "1 lateral (LL), 1 other (RLD), 1 unknown" in str(caught.value)
    assert "DOE" not in str(caught.value)


def test_a_frontal_that_lies_on_its_side_is_turned_and_that_is_told(make_dicom):
    upright = np.random.default_rng(1).integers(1, 4096, (300, 280), dtype=np.uint16)
    plain = Study.from_dicom(make_dicom("a.dcm", upright)).radiographs[Slot.FRONTAL]
    lying = Study.from_dicom(
        make_dicom("b.dcm", np.ascontiguousarray(np.rot90(upright)), PatientOrientation=["F", "R"])
    )
    np.testing.assert_array_equal(lying.radiographs[Slot.FRONTAL].pixels_u8, plain.pixels_u8)
    assert lying.explain()["slots"]["frontal"]["turned"] == "turned by 90° clockwise"
    assert plain.choice.turned == ""


def test_the_explanation_is_plain_and_holds_no_identifier(make_dicom):
    names = {
        "PatientName": "DOE^JANE",
        "PatientID": "MRN77",
        "StudyDescription": "SECRET",
        "AccessionNumber": "ACC9",
    }
    files = [
        make_dicom(f"{name}.dcm", **names, **elements)
        for name, elements in {
            "a": {},
            "b": {"ViewPosition": "LL"},
            "c": {"Modality": "CT"},
            "d": {"ViewPosition": None, "SeriesDescription": "SECRET"},
        }.items()
    ]
    (files[0].parent / "notes.txt").write_text("DOE")
    study = Study.from_dicom(files[0].parent)
    text = json.dumps(study.explain())
    assert not [mark for mark in ("DOE", "MRN", "SECRET", "ACC9", "1.2.3", "20240501") if mark in text]
    assert {(item["what"], item["why"]) for item in study.explain()["set_aside"]} == {
        ("unknown", "no slot takes this view"),
        ("image", "not a chest radiograph: modality is CT"),
        ("file", "not DICOM"),
    }
    assert study.explain()["slots"]["lateral"]["confidence"] == "high"
    assert Study.from_images(shades(9).astype(np.uint8)).explain()["slots"]["frontal"]["source"] == "caller"


@pytest.mark.parametrize("vr", ["OB", "US", "LO", "FD"])
def test_elements_of_a_wrong_kind_are_taken_as_absent(make_dicom, vr):
    value = {"US": 7, "FD": 0.5, "LO": "x", "OB": b"\x01\x02"}[vr]
    keywords = ["ViewCodeSequence", "AnatomicRegionSequence", "PatientOrientation", "ImageType", "AcquisitionTime"]
    header = Dataset()
    for keyword in keywords:
        header.add_new(keyword, vr, value)
    header.file_meta = FileMetaDataset()
    assert interpret_header(header).finding.view is View.UNKNOWN
    header.ViewPosition, header.Modality = "PA", "CR"
    image = interpret_header(header)
    assert set(select_images(Examination((image, image)), CURRENT_SLOTS, any_view=False).images) == {Slot.FRONTAL}
    assert image.lie.directions is None and image.body_part_refusal == ""
