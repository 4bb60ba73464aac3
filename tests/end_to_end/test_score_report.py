"""`alta score` over a folder of studies: table, CSV, page, what is passed over, and what is never named."""

import csv
import re
import shutil
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk.cli import main

LABELS = ("--labels", "edema, pneumonia")
MARKS = {
    "PatientName": "DOE^JANE",
    "PatientID": "MRN4711",
    "AccessionNumber": "ACC0815",
    "PatientBirthDate": "19510203",
}


@pytest.fixture
def folder(make_dicom, radiograph_path, tmp_path):
    """Ten good studies with marked names, and a damaged one."""
    for number in range(10):
        uid = f"1.2.999.4711.{number}"
        grey = Image.open(radiograph_path).convert("L").resize((300, 280 + 9 * number))  # noise would get notices
        pixels = np.asarray(grey).astype(np.uint16) * 16
        make_dicom(f"DOE_JANE/{number:02}/MRN4711.dcm", pixels, StudyInstanceUID=uid, **MARKS)
    cut = tmp_path / "DOE_JANE" / "99.dcm"
    cut.write_bytes((tmp_path / "DOE_JANE" / "00" / "MRN4711.dcm").read_bytes()[:900])
    return tmp_path / "DOE_JANE"


def score(*arguments):
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


def find_chromium():
    return next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)


def test_a_folder_of_studies(bundle, folder, tmp_path):
    page, table = tmp_path / "run.html", tmp_path / "run.csv"
    result = score(folder, "--engine", bundle, *LABELS, "--html", page, "--csv", table, "--locate", "edema")
    assert result.exit_code == 1
    assert "11 of 11 studies" in result.stderr, "progress"
    assert "study 11 of 11: DicomError" in result.stderr
    assert result.stderr.splitlines()[-1] == "StudyError: 1 of 11 studies could not be scored"
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["study", "edema", "pneumonia"] and len(lines) == 13
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11 and rows[10]["error_class"] == "DicomError"
    assert len({row["key"] for row in rows}) == 10 and rows[10]["key"] == rows[0]["key"], "a cut copy of the first"
    assert rows[10]["error_message"]
    assert [f"{float(row['edema']):.3f}" for row in rows[:10]] == [line.split()[1] for line in lines[3:]]
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") == 10
    told = re.sub(r'base64,[^"]*', "", text)  # three letters occur in pictures by chance
    everything = result.output + told + table.read_text(encoding="utf-8")
    for mark in (*MARKS.values(), "DOE", "MRN", "1.2.999", "20240501"):
        assert mark not in everything


def test_identifiers_only_when_asked_for(bundle, folder, tmp_path):
    page, table = tmp_path / "run.html", tmp_path / "run.csv"
    study = folder / "00"
    result = score(study, "--engine", bundle, *LABELS, "--html", page, "--csv", table, "--with-identifiers")
    assert result.exit_code == 0 and "DOE" not in result.output
    assert str(study) in page.read_text(encoding="utf-8") and str(study) in table.read_text(encoding="utf-8")


def test_json_says_which_study_has_no_scores(bundle, folder):
    result = score(folder, "--engine", bundle, *LABELS, "--json")
    studies = check_output("score", result.stdout)["studies"]
    assert result.exit_code == 1 and len(studies) == 11
    assert set(studies[0]["scores"]) == {"edema", "pneumonia"} and studies[10]["error"]["class"] == "DicomError"
    assert [study["number"] for study in studies] == list(range(1, 12)) and all(one["key"] for one in studies)


def test_what_cannot_be_written_is_refused_before_any_work(bundle, folder, tmp_path):
    (tmp_path / "run.csv").write_text("kept")
    refused = score(folder, "--engine", bundle, *LABELS, "--csv", tmp_path / "run.csv")
    assert refused.exit_code == 1 and refused.stderr.startswith("AltaError: file of the report exists")
    assert (tmp_path / "run.csv").read_text() == "kept" and refused.stdout == ""
    assert score(folder, "--engine", bundle, *LABELS, "--locate", "edema").exit_code == 2
    assert score(folder, "--engine", bundle, *LABELS, "--with-identifiers").exit_code == 2


def test_a_doubtful_picture_is_told_everywhere_and_nonsense_is_refused(bundle, radiograph_path, tmp_path):
    good, bad, none = (tmp_path / f"{name}.png" for name in ("good", "bad", "none"))
    grey = np.asarray(Image.open(radiograph_path).convert("L"))
    for path, picture in ((good, grey), (bad, 255 - grey), (none, np.full_like(grey, 99))):
        Image.fromarray(picture).save(path)
    page, table = tmp_path / "run.html", tmp_path / "run.csv"
    result = score(good, bad, "--engine", bundle, *LABELS, "--html", page, "--csv", table)
    assert result.exit_code == 0, result.output
    assert "study 1 " in result.stdout and "study 2 !" in result.stdout
    told = [line for line in result.stdout.splitlines() if line.startswith("! ")]
    assert len(told) == 1 and told[0].startswith("! study 2, frontal: picture looks inverted")
    assert "study 2, frontal: picture looks inverted" in result.stderr
    with table.open(encoding="utf-8", newline="") as file:
        assert ["inverted" in row["reading"] for row in csv.DictReader(file)] == [False, True]
    assert page.read_text(encoding="utf-8").count("picture looks inverted") == 1
    studies = check_output("score", score(good, bad, "--engine", bundle, *LABELS, "--json").stdout)["studies"]
    assert [len(study["provenance"]["reading"]) for study in studies] == [0, 1]
    refused = score(none, "--engine", bundle, *LABELS)
    assert refused.exit_code == 1 and refused.stderr.startswith("StudyError: picture has one or two grey levels")
    passed = score(none, "--engine", bundle, *LABELS, "--any-picture")
    assert passed.exit_code == 0 and "! study 1, frontal: picture has one or two grey levels" in passed.stdout


@pytest.mark.skipif(find_chromium() is None, reason="Chromium absent: apt-get install chromium")
def test_chromium_shows_the_page_and_loads_nothing(bundle, folder, tmp_path):
    page, shot = tmp_path / "run.html", tmp_path / "shot.png"
    score(folder / "00", "--engine", bundle, "--labels", "edema, <i>effusion</i>", "--html", page, "--locate", "edema")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=900,1200"]
    given = [*options, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}", page.as_uri()]
    shown = subprocess.run([find_chromium(), *given], capture_output=True, text=True, timeout=1800, check=True)
    assert "Refused to" not in shown.stderr and "violates" not in shown.stderr, "the page's own policy refused nothing"
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ((0x2F, 0x6F, 0xBA), (0xFF, 0xF4, 0xDC)):  # a bar, and the notice
        assert (pixels == colour).all(axis=1).sum() > 500
