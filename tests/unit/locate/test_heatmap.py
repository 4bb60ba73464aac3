"""Pictures and secondary captures of a heat map: where pixels lie, what is said, what is never written."""

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import SecondaryCaptureImageStorage

from alta_sdk import AltaError, DicomError, Heatmap, Slot, Study, StudyError
from alta_sdk.dicom.secondary_capture import encode_secondary_capture
from alta_sdk.locate.overlay import encode_png, make_colours

HEIGHT, WIDTH = 300, 200
MARKS = {
    "PatientName": "DOE^JANE",
    "PatientID": "MRN4711",
    "PatientBirthDate": "19510203",
    "AccessionNumber": "ACC0815",
    "StudyDate": "20240501",
    "StudyInstanceUID": "1.2.3.4.5",
    "ReferringPhysicianName": "HOUSE^GREGORY",
}


def make_heatmap(grey=None, study=None):
    """study: the DICOM file that it is drawn on."""
    values = np.full((HEIGHT, WIDTH), 0.1, dtype=np.float32)
    values[:20] = values[-20:] = np.nan
    values[50:80, 150:180] = 0.7
    patches = np.array([[0.1, 0.7], [0.1, 0.1]], dtype=np.float32)
    origin = {"engine_sha256": "ab" * 32, "precision": "fp32", "runtime": "onnxruntime 1.32"}
    grey = np.full((HEIGHT, WIDTH), 100, dtype=np.uint8) if grey is None else grey
    drawn_on = None if study is None else Study.from_dicom(study).radiographs[Slot.FRONTAL].origin
    return Heatmap(values, patches, 0.2, 0.5, (65, 165), grey, origin, drawn_on)


@pytest.fixture
def heatmap():
    return make_heatmap()


def test_overlay_colours_what_is_high_and_darkens_what_was_not_seen(heatmap):
    overlay = heatmap.overlay()
    assert overlay.shape == (HEIGHT, WIDTH, 3) and overlay.dtype == np.uint8
    np.testing.assert_array_equal(overlay[100, 100], [100, 100, 100])  # the lowest similarity: as it was
    np.testing.assert_allclose(overlay[65, 165], 0.5 * 100 + 0.5 * make_colours()[-1].astype(float), atol=1)
    np.testing.assert_array_equal(overlay[5, 5], [40, 40, 40])


def test_limits_make_maps_comparable(heatmap):
    weak = heatmap.overlay(limits=(0.0, 2.0))[65, 165].astype(int)
    strong = heatmap.overlay(limits=(0.0, 0.7))[65, 165].astype(int)
    assert abs(weak - 100).max() < abs(strong - 100).max()
    np.testing.assert_array_equal(heatmap.overlay(limits=(0.7, 0.7))[100, 100], [100, 100, 100])
    for limits in ((0.7, 0.1), (0.0, float("nan"))):
        with pytest.raises(AltaError, match="limits"):
            heatmap.overlay(limits=limits)


def test_a_colour_radiograph_is_drawn_on_as_well():
    grey = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    grey[:, :, 1] = 90
    np.testing.assert_array_equal(make_heatmap(grey).overlay()[100, 100], [0, 90, 0])


def test_picture_keeps_the_radiographs_pixels_in_place_and_adds_a_strip(heatmap):
    picture = heatmap.picture()
    np.testing.assert_array_equal(picture[:HEIGHT], heatmap.overlay())
    assert picture.shape[0] > HEIGHT and picture[HEIGHT:].max() > 200, "something is written in the strip"
    assert heatmap.picture(caption="left").shape[0] > picture.shape[0]
    assert make_heatmap().picture().shape[1] == WIDTH


def test_png_says_what_it_is_not(heatmap, tmp_path):
    heatmap.save_png(tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        assert image.info["Comment"] == "Not for clinical use"
        np.testing.assert_array_equal(np.asarray(image), heatmap.picture())
    assert encode_png(heatmap.picture()) == (tmp_path / "map.png").read_bytes()


def test_an_existing_file_is_kept_unless_overwritten(heatmap, tmp_path):
    path = tmp_path / "study.dcm"
    path.write_bytes(b"the study")
    for save in (heatmap.save_dicom, heatmap.save_png):
        with pytest.raises(AltaError, match="exists"):
            save(path)
    for save in (heatmap.save_dicom, heatmap.save_png):
        with pytest.raises(AltaError, match="replaces only what it wrote"):
            save(path, overwrite=True)
    assert path.read_bytes() == b"the study"
    for save, older in ((heatmap.save_dicom, tmp_path / "older.dcm"), (heatmap.save_png, tmp_path / "older.png")):
        save(older)
        before = older.stat().st_ino
        save(older, overwrite=True)
        assert older.stat().st_ino != before
    assert pydicom.dcmread(tmp_path / "older.dcm").Modality == "OT"


def test_a_failed_write_leaves_nothing(heatmap, tmp_path, monkeypatch):
    with pytest.raises(AltaError, match="folder of the heat map does not exist"):
        heatmap.save_png(tmp_path / "absent" / "map.png")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("alta_sdk.files.atomic.place_new", fail)
    with pytest.raises(AltaError, match="No space left"):
        heatmap.save_dicom(tmp_path / "map.dcm")
    assert not list(tmp_path.iterdir())


def test_secondary_capture_is_derived_marked_and_of_nobody(heatmap, tmp_path):
    for name in ("one.dcm", "other.dcm"):
        heatmap.save_dicom(tmp_path / name)
    one, other = (pydicom.dcmread(tmp_path / name) for name in ("one.dcm", "other.dcm"))
    assert one.SOPClassUID == one.file_meta.MediaStorageSOPClassUID == SecondaryCaptureImageStorage
    assert one.ImageType[:2] == ["DERIVED", "SECONDARY"] and one.ConversionType == "WSD"
    assert "NOT FOR CLINICAL USE" in one.SeriesDescription and one.BurnedInAnnotation == "YES"
    assert "Not for clinical use" in one.DerivationDescription and "abababab" in one.DerivationDescription
    assert not any(one[keyword].value for keyword in MARKS if "UID" not in keyword)
    assert "PatientIdentityRemoved" not in one  # text may be burned into the pixels
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert one[keyword].value != other[keyword].value
    np.testing.assert_array_equal(one.pixel_array, heatmap.picture())


def test_odd_pixel_data_is_padded(tmp_path):
    grey = np.zeros((33, 33), dtype=np.uint8)
    heatmap = Heatmap(grey.astype(np.float32), np.zeros((2, 2), np.float32), 0.0, 0.0, (1, 1), grey, PROVENANCE)
    heatmap.save_dicom(tmp_path / "map.dcm")
    stored = pydicom.dcmread(tmp_path / "map.dcm")
    assert len(stored.PixelData) % 2 == 0
    np.testing.assert_array_equal(stored.pixel_array, heatmap.picture())


PROVENANCE = {"engine_sha256": "cd" * 32, "precision": "int8", "runtime": "openvino 2026.4"}


def test_identifiers_are_taken_only_when_asked_for(tmp_path, make_dicom):
    study = make_dicom(**MARKS)
    heatmap = make_heatmap(study=study)
    heatmap.save_dicom(tmp_path / "without.dcm", caption="rechter Unterlappen, verschattet: ä")
    heatmap.save_dicom(tmp_path / "with.dcm", identifiers_from=study)
    heatmap.save_dicom(tmp_path / "bound.dcm", with_identifiers=True)
    bound = pydicom.dcmread(tmp_path / "bound.dcm")
    assert {keyword: str(bound[keyword].value) for keyword in MARKS} == MARKS
    assert not any(mark in repr(heatmap) + str(heatmap.as_dict()) for mark in MARKS.values())
    data = (tmp_path / "without.dcm").read_bytes()
    assert not any(mark.encode() in data for mark in MARKS.values())
    stored = pydicom.dcmread(tmp_path / "with.dcm")
    assert {keyword: str(stored[keyword].value) for keyword in MARKS} == MARKS
    assert "PatientIdentityRemoved" not in stored
    assert stored.SOPInstanceUID != pydicom.dcmread(study).SOPInstanceUID
    assert "verschattet: ä" in pydicom.dcmread(tmp_path / "without.dcm").ImageComments


def test_a_name_in_another_character_set_is_kept(tmp_path, make_dicom):
    study = make_dicom(SpecificCharacterSet="ISO_IR 100", PatientName="MÜLLER^JÖRG")
    make_heatmap(study=study).save_dicom(tmp_path / "map.dcm", identifiers_from=study)
    assert str(pydicom.dcmread(tmp_path / "map.dcm").PatientName) == "MÜLLER^JÖRG"


def test_identifiers_are_written_as_they_are(tmp_path, make_dicom, capfd):
    study = make_dicom()
    study.write_bytes(study.read_bytes().replace(b"20240501", b"2024-5-1"))
    make_heatmap(study=study).save_dicom(tmp_path / "map.dcm", identifiers_from=study)
    assert pydicom.dcmread(tmp_path / "map.dcm").StudyDate == "2024-5-1"
    assert "2024" not in "".join(capfd.readouterr())


def test_identifiers_that_cannot_be_taken_are_refused(heatmap, tmp_path, make_dicom, radiograph_path):
    target = tmp_path / "map.dcm"
    with pytest.raises(StudyError, match="has none"):
        heatmap.save_dicom(target, identifiers_from=radiograph_path)
    make_dicom("two/a.dcm", **MARKS), make_dicom("two/b.dcm", **{**MARKS, "PatientID": "MRN0000"})
    with pytest.raises(StudyError, match="more than one study"):
        heatmap.save_dicom(target, identifiers_from=tmp_path / "two")
    unnamed = make_dicom("x.dcm", StudyInstanceUID=None)
    with pytest.raises(StudyError, match="no StudyInstanceUID"):
        make_heatmap(study=unnamed).save_dicom(target, identifiers_from=unnamed)
    with pytest.raises(StudyError, match="has none"):
        heatmap.save_dicom(target, with_identifiers=True)
    assert not target.exists()


def test_identifiers_are_those_of_the_file_whose_pixels_were_read(tmp_path, make_dicom):
    own = make_dicom("own.dcm", **MARKS)
    heatmap = make_heatmap(study=own)
    others = {
        "another patient": make_dicom("a.dcm", **{**MARKS, "PatientID": "MRN0000", "StudyInstanceUID": "1.2.9"}),
        "another image": make_dicom("b.dcm", **MARKS),
        "the same image under another name": make_dicom("c.dcm", **{**MARKS, "PatientName": "ROE^JOHN"}),
    }
    shown = pydicom.dcmread(others["the same image under another name"])
    shown.SOPInstanceUID = shown.file_meta.MediaStorageSOPInstanceUID = pydicom.dcmread(own).SOPInstanceUID
    shown.save_as(others["the same image under another name"])
    for other in others.values():
        with pytest.raises(StudyError, match="not drawn on"):
            heatmap.save_dicom(tmp_path / "map.dcm", identifiers_from=other)
    own.write_bytes(others["another patient"].read_bytes())  # since it was read
    with pytest.raises(StudyError, match="not drawn on"):
        heatmap.save_dicom(tmp_path / "map.dcm", identifiers_from=own)
    heatmap.save_dicom(tmp_path / "map.dcm", with_identifiers=True)
    assert str(pydicom.dcmread(tmp_path / "map.dcm").PatientID) == MARKS["PatientID"]


def test_what_pydicom_cannot_write_is_an_error_without_its_value(heatmap, monkeypatch):
    def fail(*_, **__):
        raise ValueError("Invalid value for VR PN: DOE^JANE")

    monkeypatch.setattr(pydicom.Dataset, "save_as", fail)
    with pytest.raises(DicomError, match="identifier of the study is not valid") as caught:
        encode_secondary_capture(heatmap.picture(), "derived", "", {"PatientName": "DOE^JANE"})
    assert "DOE" not in str(caught.value)


def test_arrays_are_read_only(heatmap):
    with pytest.raises(ValueError, match="read-only"):
        heatmap.values[0, 0] = 1
    assert "grey_u8" not in repr(heatmap)


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "a\ud800b", "absent/map"])
def test_a_name_that_nothing_can_be_written_to_is_told_without_it(heatmap, tmp_path, name):
    for save in (heatmap.save_png, heatmap.save_dicom):
        for overwrite in (False, True):
            with pytest.raises(AltaError, match="heat map") as caught:
                save(tmp_path / f"MUELLER{name}", overwrite=overwrite)
            assert "MUELLER" not in str(caught.value)
    assert not list(tmp_path.iterdir())
