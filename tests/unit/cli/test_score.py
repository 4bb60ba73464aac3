"""`alta score` and `alta compare`: priors are found, what decided is shown, and nothing names a patient."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk.cli import main
from alta_sdk.study.key import SiteKey, identify_uid


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
    printed = check_output("score", result.stdout)
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
    assert result.stdout.splitlines()[1].split() == ["label", "study", "1", "study", "3"], "the others are scored"


def read_studies(result):
    return check_output("score", result.stdout)["studies"]


def test_studies_are_named_by_number_and_key_and_failed_ones_too(bundle, patient, tmp_path):
    given = [patient / "now", tmp_path / "DOE_absent", patient / "old"]
    result = score(bundle, *given, "--json")
    assert result.exit_code == 1
    studies = read_studies(result)
    assert [one["number"] for one in studies] == [1, 2, 3] and len({one["key"] for one in studies}) == 3
    assert set(studies[1]) == {"number", "key", "error"} and set(studies[1]["error"]) == {"class", "message"}
    assert studies[1]["error"]["class"] == "StudyError" and "not" in studies[1]["error"]["message"].lower()
    assert [one["key"] for one in read_studies(score(bundle, *given, "--json"))] == [one["key"] for one in studies]
    assert not [mark for mark in ("DOE", "MRN77", "1.2.77", str(tmp_path)) if mark in result.output]


def test_identifiers_are_in_the_json_where_they_are_asked_for(bundle, patient, radiograph_path, tmp_path):
    given = [patient / "now", radiograph_path, tmp_path / "absent", "--json", "--with-identifiers"]
    dicom, picture, absent = read_studies(score(bundle, *given))
    assert (dicom["path"], dicom["study_instance_uid"]) == (str(patient / "now"), "1.2.777")
    assert picture["study_instance_uid"] is None and picture["accession_number"] is None
    assert absent["path"] == str(tmp_path / "absent") and absent["error"]


def test_a_lone_study_that_fails_is_one_line_and_one_object(bundle, tmp_path):
    shown = score(bundle, tmp_path / "DOE_absent")
    assert (shown.exit_code, shown.stdout, shown.stderr.count("\n")) == (1, "", 1)
    told = score(bundle, tmp_path / "DOE_absent", "--json")
    assert told.exit_code == 1 and check_output("score", told.stdout)["error"]["class"] == "StudyError"
    assert told.stderr.splitlines()[-1] == shown.stderr.strip()


def test_with_its_prior_found_the_key_is_that_of_the_current_study(bundle, patient):
    alone = json.loads(score(bundle, patient / "now", "--json").stdout)
    found = json.loads(score(bundle, patient, "--find-prior", "--json", "--with-identifiers").stdout)
    assert found["key"] == alone["key"] and found["study_instance_uid"] == "1.2.777"


def test_the_key_is_that_of_the_index_and_of_the_key_file_alone(bundle, patient, tmp_path):
    own = tmp_path / "own.key"
    own.write_text("ab" * 32)
    own.chmod(0o600)
    keys = [
        json.loads(score(bundle, patient / "now", "--json", *more).stdout)["key"] for more in ([], ["--key-file", own])
    ]
    assert keys[0] != keys[1] == SiteKey(b"\xab" * 32).sign(identify_uid("1.2.777")).hex()


def test_where_no_site_key_can_be_kept_scores_are_told_without_keys(bundle, patient, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file where the settings folder would be")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "taken"))
    result = score(bundle, patient / "now", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["key"] is None
    assert "studies have no key in this run: site key cannot be written" in result.stderr
    named = score(bundle, patient / "now", "--json", "--key-file", tmp_path / "absent.key")
    assert named.exit_code == 1 and "EngineError: site key cannot be read" in named.stderr


def test_studies_are_listed_on_standard_input_and_in_files(bundle, patient, tmp_path, monkeypatch):
    lists = tmp_path / "studies.txt"
    lists.write_text(f"{patient / 'now'}\r\n\n{tmp_path / '@odd'}\n", encoding="utf-8")
    shutil.copytree(patient / "old", tmp_path / "@odd")
    expected = [one["key"] for one in read_studies(score(bundle, patient / "now", patient / "old", "--json"))]
    assert [one["key"] for one in read_studies(score(bundle, f"@{lists}", "--json"))] == expected
    options = ["score", "--engine", str(bundle), "--labels", "edema,", "--json", "-"]
    piped = CliRunner().invoke(main, options, input=lists.read_bytes())
    assert [one["key"] for one in read_studies(piped)] == expected
    monkeypatch.chdir(tmp_path)
    literal = json.loads(score(bundle, "./@odd", "--json").stdout)
    assert literal["key"] == expected[1]


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (["-"], 1, "StudyError: standard input holds no path"),
        (["-", "-"], 2, "can be read once"),
        (["@DOE_none"], 1, "StudyError: list of studies cannot be read: No such file"),
        (["@DOE_folder"], 1, "StudyError: list of studies cannot be read"),
        (["@DOE_bytes"], 1, "StudyError: list of studies is no list of studies"),
    ],
)
def test_lists_that_are_none_are_one_line(bundle, tmp_path, monkeypatch, given, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DOE_folder").mkdir()
    (tmp_path / "DOE_bytes").write_bytes(b"a\0b")
    result = score(bundle, *given)
    assert result.exit_code == code and message in result.stderr and "DOE" not in result.output, result.output


def test_a_folder_that_cannot_be_listed_does_not_lose_the_others(bundle, patient, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    listed = Path.iterdir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert_goes_on(bundle, patient, tmp_path / "locked")


def assert_goes_on(bundle, patient, locked):
    result = score(bundle, locked, patient / "now", "--json")
    bad, good = read_studies(result)
    assert result.exit_code == 1 and bad["error"]["class"] == "StudyError" and "edema" in good["scores"]


@pytest.mark.usefixtures("still_clock")
def test_compare_finds_the_prior_or_takes_the_one_given(bundle, patient):
    def compare(*arguments):
        options = ["--engine", str(bundle), "--labels", "edema, pneumonia"]
        return CliRunner().invoke(main, ["compare", *map(str, arguments), *options])

    found, given = compare(patient, "--json"), compare(patient / "now", patient / "old", "--json")
    assert found.exit_code == 0, found.output
    assert check_output("compare", found.stdout) == check_output("compare", given.stdout)
    named = check_output("compare", compare(patient, "--json", "--with-identifiers").stdout)["studies"]
    assert [(one["role"], one["number"], one["study_instance_uid"]) for one in named] == [
        ("current", 1, "1.2.777"),
        ("prior", 2, "1.2.778"),
    ]
    assert [one["key"] for one in named] == [one["key"] for one in json.loads(found.stdout)["studies"]]
    assert compare(patient, "--with-identifiers").exit_code == 2
    assert set(json.loads(found.stdout)["change"]) == {"edema", "pneumonia"}
    assert [line.split()[0] for line in compare(patient).stdout.splitlines()[3:5]] == ["edema", "pneumonia"]
    alone = compare(patient / "now")
    assert alone.exit_code == 1
    assert "no prior with a usable frontal" in alone.stderr
    assert "DOE" not in found.output + given.output + alone.output
