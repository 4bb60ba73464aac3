"""Studies: which file fills which slot, and what is refused."""

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from alta_sdk import DicomError, Slot, Study, StudyError, ViewError
from alta_sdk.study.study import load_study


def test_the_view_position_fills_the_slots(make_dicom):
    files = [make_dicom("a.dcm", ViewPosition="LL"), make_dicom("b.dcm", ViewPosition="AP")]
    study = Study.from_dicom(files)
    assert study.slots == (Slot.FRONTAL, Slot.LATERAL)
    assert study.radiographs[Slot.LATERAL].view_source == "ViewPosition"


def test_view_code_and_description_tell_the_view_when_the_position_does_not(make_dicom):
    code = Dataset()
    code.CodeMeaning = "postero-anterior"
    by_code = Study.from_dicom(make_dicom("a.dcm", ViewPosition=None, ViewCodeSequence=[code]))
    assert by_code.radiographs[Slot.FRONTAL].view_source == "ViewCodeSequence"
    by_text = Study.from_dicom(make_dicom("b.dcm", ViewPosition="", SeriesDescription="Chest PA"))
    assert by_text.radiographs[Slot.FRONTAL].view_source == "SeriesDescription"


def test_a_description_of_both_views_tells_nothing(make_dicom):
    path = make_dicom(ViewPosition=None, StudyDescription="CHEST (PA AND LAT)")
    with pytest.raises(ViewError, match="1 unknown"):
        Study.from_dicom(path)
    assert Study.from_dicom(path, any_view=True).slots == (Slot.FRONTAL,)


def test_a_study_of_laterals_says_what_was_found(make_dicom):
    files = [make_dicom(name, ViewPosition="LATERAL") for name in ("a.dcm", "b.dcm")]
    with pytest.raises(ViewError, match="found 2 lateral"):
        Study.from_dicom(files)


def test_folder_and_zip_hold_other_files_too(make_dicom, tmp_path):
    path = make_dicom("study/image.dcm")
    (path.parent / "notes.txt").write_text("not an image")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        archive.write(path, "deep/image.dcm")
        archive.write(path.parent / "notes.txt", "notes.txt")
    expected = Study.from_dicom(path).radiographs[Slot.FRONTAL].pixels_u8
    for source in (path.parent, tmp_path / "study.zip"):
        np.testing.assert_array_equal(load_study(source).radiographs[Slot.FRONTAL].pixels_u8, expected)


def test_prior_fills_the_prior_slots(make_dicom):
    prior = make_dicom("prior.dcm", StudyDate="20230101", StudyInstanceUID="1.2.3.5")
    assert Study.from_dicom(make_dicom(), prior=prior).slots == (Slot.FRONTAL, Slot.PRIOR_FRONTAL)


@pytest.mark.parametrize("elements", [{"PatientID": "P2"}, {"PatientID": ""}])
def test_prior_of_another_patient_is_refused(make_dicom, elements):
    prior = make_dicom("prior.dcm", StudyDate="20230101", **elements)
    with pytest.raises(StudyError, match="same patient"):
        Study.from_dicom(make_dicom(), prior=prior)


@pytest.mark.parametrize("date", ["20240501", "20250101", ""])
def test_prior_that_is_not_earlier_is_refused(make_dicom, date):
    with pytest.raises(StudyError, match="not earlier"):
        Study.from_dicom(make_dicom(), prior=make_dicom("prior.dcm", StudyDate=date))


def test_two_studies_in_one_folder_are_refused(make_dicom):
    files = [make_dicom("a.dcm"), make_dicom("b.dcm", ViewPosition="LL", StudyInstanceUID="1.2.9")]
    with pytest.raises(StudyError, match="more than one study"):
        Study.from_dicom(files)


@pytest.mark.parametrize(
    "elements",
    [{"BodyPartExamined": "ANKLE"}, {"Modality": "CT"}, {"Modality": "OT", "BodyPartExamined": None}],
)
def test_what_is_no_chest_radiograph_is_refused_unless_allowed(make_dicom, elements):
    path = make_dicom(**elements)
    with pytest.raises(ViewError, match="any_body_part=True"):
        Study.from_dicom(path)
    assert Study.from_dicom(path, any_body_part=True).slots == (Slot.FRONTAL,)


def test_an_unstated_body_part_of_a_radiograph_passes(make_dicom):
    assert Study.from_dicom(make_dicom(BodyPartExamined=None)).slots == (Slot.FRONTAL,)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PixelData": None}, "no pixel data"),
        ({"NumberOfFrames": "3"}, "damaged or truncated"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric"),
        ({"Rows": 65535, "Columns": 65535}, "larger than"),
        ({"Rows": 400}, "damaged or truncated"),
    ],
)
def test_images_that_cannot_be_decoded_are_named(make_dicom, elements, message):
    with pytest.raises(DicomError, match=message):
        Study.from_dicom(make_dicom(**elements))


def test_every_truncation_is_an_error_of_ours(make_dicom, tmp_path):
    whole = make_dicom().read_bytes()
    for length in (0, 100, 131, 140, 300, 500, 700, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.dcm").write_bytes(whole[:length])
        with pytest.raises(DicomError):
            Study.from_dicom(tmp_path / "cut.dcm")


def test_a_truncated_compressed_file_is_called_truncated(tmp_path):
    whole = (Path(pydicom.__file__).parent / "data" / "test_files" / "693_J2KI.dcm").read_bytes()
    for share in (0.05, 0.5, 0.9):
        (tmp_path / "cut.dcm").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DicomError, match="truncated"):
            Study.from_dicom(tmp_path / "cut.dcm", any_body_part=True, any_view=True)


def test_images_are_taken_as_they_are(radiograph_path):
    array = np.asarray(Image.open(radiograph_path))
    by_path, by_array = Study.from_images(radiograph_path), Study.from_images(array)
    np.testing.assert_array_equal(
        by_path.radiographs[Slot.FRONTAL].pixels_u8, by_array.radiographs[Slot.FRONTAL].pixels_u8
    )
    assert not by_path.radiographs[Slot.FRONTAL].pixels_u8.flags.writeable


def test_images_that_are_not_whole_8_bit_radiographs_are_refused(radiograph_path, make_dicom, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(radiograph_path.read_bytes()[:3000])
    Image.fromarray(np.full((64, 64), 40_000, np.uint16)).save(tmp_path / "deep.png")
    for path, message in [
        (tmp_path / "cut.jpg", "cannot be read"),
        (tmp_path / "deep.png", "more than 8 bits"),
        (make_dicom(), "from_dicom"),
        (tmp_path / "absent.png", "check the path"),
        (np.zeros((64, 64), np.float32), "must be uint8"),
    ]:
        with pytest.raises(StudyError, match=message):
            Study.from_images(path)
