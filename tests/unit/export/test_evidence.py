"""What the gate's drift was measured on: how many, whose, and what is said where that is too little."""

from dataclasses import replace

import numpy as np
import pytest

from alta_export.evidence import judge_evidence, refuse_overlap, spell_count, tell_lack
from alta_export.radiographs import Radiographs, StudySource, read_radiographs, split_off, synthetic
from alta_sdk.errors import CalibrationError


def make(count, patients=None, first=0):
    """Return radiographs of which no two are alike; patients: one for each."""
    pixels = (np.arange(first, first + count, dtype=np.uint8)[:, None, None, None]) * np.ones((1, 1, 2, 2), np.uint8)
    whose = None if patients is None else np.array(patients)
    return Radiographs(pixels, np.zeros(count, np.int64), None, "made", patients=whose)


def test_thirty_two_radiographs_are_asked_for():
    assert judge_evidence(make(32), "int8") == "enough" and tell_lack("enough", "int8", 32) == ""
    assert judge_evidence(make(31), "int8") == "few"
    told = tell_lack("few", "int8", 31)
    assert told.startswith("DRIFT MEASURED ON 31 RADIOGRAPHS") and "int8" in told and "fewer than 32" in told


def test_synthetic_images_are_no_evidence_however_many():
    made = synthetic(np.zeros((64, 1, 2, 2), np.uint8), [0] * 64)
    assert judge_evidence(made, "fp16") == "synthetic"
    assert tell_lack("synthetic", "fp16", 64).startswith("DRIFT NOT MEASURED ON RADIOGRAPHS")
    assert spell_count(made) == "64 synthetic images"


def test_fp32_needs_no_radiographs_since_nothing_is_rounded():
    assert judge_evidence(make(4), "fp32") == "none needed" and tell_lack("none needed", "fp32", 4) == ""


def test_radiographs_and_patients_are_counted_and_nobody_is_named():
    assert spell_count(make(3, ["DOE", "ROE", "DOE"])) == "3 radiographs of 2 patients"
    assert spell_count(make(3)) == "3 radiographs, patients not told"
    assert "DOE" not in repr(make(1, ["DOE"]))


def test_a_patient_of_the_calibration_cannot_be_held_out():
    shown, held = make(4, ["a", "b", "b", "DOE"]), make(3, ["c", "DOE", "d"], first=9)
    with pytest.raises(CalibrationError, match="1 of 3 patients of --held-out are in --calibration, too") as caught:
        refuse_overlap(shown, held)
    assert "DOE" not in str(caught.value)
    refuse_overlap(shown, make(2, ["c", "d"], first=9))
    refuse_overlap(shown, make(2, first=9))  # nobody told whose


def test_a_patient_is_the_same_in_a_table_and_in_dicom_that_tells_no_issuer(make_dicom, tmp_path):
    for number in range(16):
        make_dicom(f"plain/{number}.dcm", StudyInstanceUID=f"1.2.{number}", PatientID="DOE")
        make_dicom(f"issued/{number}.dcm", StudyInstanceUID=f"1.3.{number}", PatientID="DOE", IssuerOfPatientID="A")
    held, other = (read_radiographs(StudySource(tmp_path / name), 16, "frontal") for name in ("plain", "issued"))
    with pytest.raises(CalibrationError, match="1 of 1 patients of --held-out are in --calibration"):
        refuse_overlap(make(1, ["DOE"]), held)
    refuse_overlap(make(1, ["DOE"]), other)  # another issuer's number


def test_a_radiograph_of_the_calibration_cannot_be_held_out_under_another_name():
    with pytest.raises(CalibrationError, match="2 of 5 radiographs of --held-out are in --calibration, too"):
        refuse_overlap(make(4, ["a"] * 4), make(5, ["b"] * 5, first=2))


def test_whole_patients_are_held_out_where_they_are_told():
    patients = [f"p{number // 2}" for number in range(20)]  # two radiographs each
    shown, held = split_off(make(20, patients))
    assert set(held.patients) == {"p4", "p9"} and len(held) == 4 and len(shown) == 16
    assert not set(shown.patients) & set(held.patients)
    assert held.source == "every 5th patient of the calibration set, not calibrated on"
    with pytest.raises(CalibrationError, match="radiographs of 4 patients"):
        split_off(make(20, patients[:8] + ["p0"] * 12))


def test_taking_some_takes_their_patients():
    assert list(make(3, ["a", "b", "c"]).take(np.array([2, 0])).patients) == ["c", "a"]
    assert replace(make(2)).take(np.array([1])).patients is None
