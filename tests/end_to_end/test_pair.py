"""pair.py without reports: rows of sentences made by rule, the same in every process."""

import csv
import os
import subprocess
import sys

import pytest
from conftest import ROOT, run_training_command

from alta_training.data.records import COLUMNS, read_table
from alta_training.data.sentences import list_claims, list_statements, read_wordings, split_sentences

FINDINGS = ("Pneumonia", "No Finding", "Edema|Pleural_Thickening", "Granuloma", "Mass|Granuloma", "No Finding")


@pytest.fixture
def radiographs(tmp_path):
    """Six radiographs of two patients, one of them with nothing that the wordings know."""
    (tmp_path / "images").mkdir()
    rows = [[f"{number}.png", number % 2, number, findings, "train"] for number, findings in enumerate(FINDINGS)]
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "patient", "follow_up", "findings", "split"], *rows])
    return tmp_path / "labels.csv"


def pair(radiographs, name, *more):
    output = radiographs.parent / name
    return output, run_training_command("pair", "--radiographs", radiographs, "--output", output, *more)


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_radiograph_gets_as_many_rows_in_words_of_its_own(radiographs):
    output, result = pair(radiographs, "train.csv", "--reports-per-radiograph", 3)
    assert result.exit_code == 0, result.output
    assert "15 rows of sentences made by rule from the labels of 6 radiographs" in result.output
    rows = read_rows(output)
    assert list(rows[0]) == [*COLUMNS, "report", "radiograph_findings", "patient", "report_uid"]
    numbers = [0, 1, 2, 4, 5]
    assert [row["image_path"] for row in rows] == [f"images/{number}.png" for number in numbers for _ in range(3)]
    assert [row["report_uid"] for row in rows] == ["by-rule-0", "by-rule-1", "by-rule-2"] * 5
    assert [row["radiograph_findings"] for row in rows[::3]] == [FINDINGS[number] for number in numbers]
    assert [row["patient"] for row in rows[::3]] == [str(number % 2) for number in numbers]
    priors = ["-1", "-1", "images/0.png", "images/2.png", "images/3.png"]
    assert [row["last_image_path"] for row in rows[::3]] == priors
    assert {row[name] for row in rows for name in ("auxview_image_path", "last_auxview_image_path")} == {"-1"}
    own = read_wordings()
    for row in rows:
        stated = list_statements(split_sentences(row["report"]), list_claims(own), own)
        found = row["radiograph_findings"].split("|")
        others = -1 if found == ["No Finding"] else 0
        assert stated == [1 if name in found else others for name in own.columns]
    assert all(len({row["report"] for row in rows[start : start + 3]}) > 1 for start in (3, 6, 12))
    assert [record.findings for record in read_table(output, with_findings=True)][6] == ("Edema", "Pleural_Thickening")


def test_without_priors_none_is_linked(radiographs):
    output, _ = pair(radiographs, "train.csv", "--no-priors", "--split", "train")
    assert {row["last_image_path"] for row in read_rows(output)} == {"-1"}


def test_the_table_is_the_same_in_every_process_and_another_with_another_seed(radiographs):
    output, _ = pair(radiographs, "one.csv", "--reports-per-radiograph", 2)
    again = radiographs.parent / "again.csv"
    command = [sys.executable, ROOT / "training" / "pair.py", "--radiographs", radiographs, "--output", again]
    done = subprocess.run(
        [str(part) for part in (*command, "--reports-per-radiograph", 2)],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == output.read_bytes()
    other, _ = pair(radiographs, "other.csv", "--reports-per-radiograph", 2, "--seed", 1)
    rows, others = read_rows(output), read_rows(other)
    assert [row["image_path"] for row in rows] == [row["image_path"] for row in others]
    assert [row["report"] for row in rows] != [row["report"] for row in others]
    # A radiograph's words do not depend on which others are there.
    lines = radiographs.read_text(encoding="utf-8").splitlines(keepends=True)
    radiographs.write_text("".join([lines[0], lines[3]]), encoding="utf-8")
    single, _ = pair(radiographs, "single.csv", "--reports-per-radiograph", 2, "--no-priors")
    assert [row["report"] for row in read_rows(single)] == [row["report"] for row in rows[4:6]]


def test_wordings_of_ones_own_are_taken(radiographs):
    own = radiographs.parent / "own.toml"
    text = (
        'present = ["{}, certainly."]\nabsent = ["Without {}."]\nnormal = ["All well."]\n[findings]\nEdema = ["edema"]'
    )
    own.write_text(text, encoding="utf-8")
    output, result = pair(radiographs, "train.csv", "--wordings", own)
    assert result.exit_code == 0, result.output
    reports = [row["report"] for row in read_rows(output)]
    assert reports == ["Without edema. All well.", "Edema, certainly.", "Without edema. All well."]


def test_what_cannot_be_worded_is_refused(radiographs, assert_refused):
    own = radiographs.parent / "own.toml"
    own.write_text('present = ["There is {name}."]\nabsent = ["No {}."]\nnormal = ["x."]\n[findings]\nA = ["a"]')
    output, result = pair(radiographs, "train.csv", "--wordings", own)
    assert_refused(result, 'wordings own.toml: "There is {name}." must have {} once', output)
    own.write_text('present = ["There is {}."]\nabsent = ["No {}."]\nnormal = ["x."]\n[findings]\nA = ["a"]')
    radiographs.write_text(radiographs.read_text(encoding="utf-8").replace("No Finding", "Granuloma"))
    output, result = pair(radiographs, "train.csv", "--wordings", own)
    assert_refused(result, "no radiograph has a finding that the wordings know", output)


def test_a_table_that_is_there_is_not_replaced_unasked(radiographs, assert_refused):
    output, _ = pair(radiographs, "train.csv")
    before = output.read_bytes()
    _, result = pair(radiographs, "train.csv", "--seed", 1)
    assert_refused(result, "file of the table exists")
    assert output.read_bytes() == before
    assert pair(radiographs, "train.csv", "--seed", 1, "--overwrite")[1].exit_code == 0
    assert output.read_bytes() != before
