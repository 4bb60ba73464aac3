"""`alta score` and `alta compare`: priors are found, what decided is shown, and nothing names a patient."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from alta_sdk.cli import main


@pytest.fixture
def patient(make_dicom, radiograph_path):
    pixels = np.asarray(Image.open(radiograph_path).convert("L")).astype(np.uint16) * 16  # noise would get notices
    marks = {"PatientName": "DOE^JANE", "PatientID": "MRN77", "SeriesDescription": "SECRET"}
    for name, elements in {
        "now/pa.dcm": {"StudyDate": "20240501", "StudyInstanceUID": "1.2.777"},
        "now/lat.dcm": {"StudyDate": "20240501", "StudyInstanceUID": "1.2.777", "ViewPosition": "LL"},
        "old/pa.dcm": {"StudyDate": "20230501", "StudyInstanceUID": "1.2.778"},
    }.items():
        path = make_dicom(f"DOE_JANE/{name}", pixels, **marks, **elements)
    return path.parent.parent


def score(bundle, *arguments):
    return CliRunner().invoke(main, ["score", "--engine", str(bundle), "--labels", "edema,", *map(str, arguments)])


def test_a_prior_is_found_and_what_decided_is_shown(bundle, patient):
    result = score(bundle, patient, "--find-prior", "--fusion-mode", "present", "--explain", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["provenance"]["slots"] == ["frontal", "lateral", "prior_frontal"]
    assert printed["explanation"]["slots"]["lateral"]["source"] == "ViewPosition"
    shown = score(bundle, patient, "--find-prior", "--fusion-mode", "present", "--explain")
    assert "prior_frontal" in shown.stdout and "high" in shown.stdout
    for text in (result.output, shown.output):
        assert not [mark for mark in ("DOE", "MRN77", "SECRET", "1.2.77", "20240501", "20230501") if mark in text]


def test_radiographs_that_the_fusion_mode_leaves_out_are_told(bundle, patient, make_dicom):
    result = score(bundle, patient, make_dicom(), "--find-prior")
    assert result.exit_code == 0, result.output
    assert "1 of 2 studies are not used" in result.stderr
    assert "was found for 1 of 2 studies" in result.stderr


def test_several_studies_are_each_scored_and_contradicting_options_refused(bundle, patient):
    both = score(bundle, patient)
    assert both.exit_code == 0 and both.stdout.splitlines()[1].split() == ["label", "study", "1", "study", "2"]
    assert score(bundle, patient, "--prior", patient, "--find-prior").exit_code == 2


def test_an_error_says_which_study_it_was(bundle, patient, tmp_path):
    result = score(bundle, patient / "now", tmp_path / "DOE_absent", patient / "old")
    assert result.exit_code == 1
    assert "study 2 of 3" in result.stderr
    assert "DOE" not in result.output


@pytest.mark.usefixtures("still_clock")
def test_compare_finds_the_prior_or_takes_the_one_given(bundle, patient):
    def compare(*arguments):
        options = ["--engine", str(bundle), "--labels", "edema, pneumonia"]
        return CliRunner().invoke(main, ["compare", *map(str, arguments), *options])

    found, given = compare(patient, "--json"), compare(patient / "now", patient / "old", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == json.loads(given.stdout)
    assert set(json.loads(found.stdout)["change"]) == {"edema", "pneumonia"}
    assert [line.split()[0] for line in compare(patient).stdout.splitlines()[3:5]] == ["edema", "pneumonia"]
    alone = compare(patient / "now")
    assert alone.exit_code == 1
    assert "no prior with a usable frontal" in alone.stderr
    assert "DOE" not in found.output + given.output + alone.output
