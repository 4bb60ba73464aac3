"""`alta locate` as a person runs it."""

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk import AltaError
from alta_sdk.cli import main


def locate(*arguments):
    return CliRunner().invoke(main, ["locate", *map(str, arguments)])


@pytest.fixture
def study(make_dicom):
    return make_dicom(PatientName="DOE^JANE", PatientID="MRN4711", AccessionNumber="ACC0815")


def test_pictures_and_table(bundle, study, tmp_path):
    png, capture = tmp_path / "heat.png", tmp_path / "heat.dcm"
    result = locate(study, "--engine", bundle, "--phrase", "zebra opacity", "--output", png, "--dicom", capture)
    assert result.exit_code == 0, result.output
    assert "300 × 280 pixels" in result.stdout and "cosine" in result.stdout
    assert "Not for clinical use." in result.stderr
    with Image.open(png) as image:
        assert image.width == 280 and image.height > 300
    stored = pydicom.dcmread(capture)
    np.testing.assert_array_equal(stored.pixel_array, np.asarray(Image.open(png)))
    everything = result.output.encode() + png.read_bytes() + capture.read_bytes()
    for mark in (b"DOE", b"MRN4711", b"ACC0815", b"20240501", b"1.2.3.4", b"zebra"):
        assert mark not in everything


def test_identifiers_and_phrase_only_when_asked_for(bundle, study, tmp_path):
    capture = tmp_path / "heat.dcm"
    asked = ("--dicom", capture, "--with-identifiers", "--with-phrase", "--json")
    result = locate(study, "--engine", bundle, "--phrase", "zebra opacity", *asked)
    assert result.exit_code == 0, result.output
    stored = pydicom.dcmread(capture)
    assert stored.PatientName == "DOE^JANE" and stored.StudyInstanceUID == "1.2.3.4"
    assert "zebra opacity" in stored.ImageComments
    told = check_output("locate", result.stdout)
    assert (told["rows"], told["columns"]) == (300, 280)
    assert np.shape(told["patches"]) == (14, 14) and "zebra" not in result.output
    assert told["peak"]["cosine"] == pytest.approx(np.max(told["patches"]))


def test_what_cannot_be_done_is_said_in_one_line(bundle, study, tmp_path):
    given = (study, "--engine", bundle, "--phrase", "edema")
    assert locate(*given, "--with-identifiers").exit_code == 2
    for refused in (locate(*given, "--slot", "lateral"), locate(*given, "--dicom", study)):
        assert refused.exit_code == 1
        assert len(refused.stderr.splitlines()) == 1 and str(study) not in refused.stderr
    assert pydicom.dcmread(study).PatientID == "MRN4711", "the study itself is never replaced"


@pytest.mark.parametrize("name", ["heat.jpg", "heat.JPEG", "heat.tif", "heat.dcm"])
def test_a_name_of_another_format_is_refused_before_any_work(name, bundle, radiograph_path, tmp_path, matcher):
    refused = locate(radiograph_path, "--engine", bundle, "--phrase", "opacity", "--output", tmp_path / name)
    assert (refused.exit_code, refused.stdout) == (1, "")
    told = "heat map is a PNG, and its name ends in that of another format: end it in .png"
    assert refused.stderr == f"AltaError: {told}\n"
    with pytest.raises(AltaError, match="end it in .png"):
        matcher.locate(str(radiograph_path), "opacity").save_png(tmp_path / name)
    assert not (tmp_path / name).exists()
