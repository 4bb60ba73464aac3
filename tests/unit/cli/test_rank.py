"""`alta rank`: keys of an index turned back into studies by the run's table, or by the studies themselves."""

import csv
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk.cli import main

MARK = "DOE_JANE"


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.fixture
def site(tmp_path, bundle, make_dicom):
    """A folder of three studies and their index."""
    folder = tmp_path / MARK
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 4096, (300, 280), dtype=np.uint16)
        make_dicom(f"{MARK}/{number}/a.dcm", pixels, StudyInstanceUID=f"1.2.77{number}", AccessionNumber=f"A{number}")
    made = run("embed", folder, "--engine", bundle, "--out", tmp_path / "i.index", "--csv", tmp_path / "plain.csv")
    assert made.exit_code == 0, made.output
    return tmp_path


def rank(site, bundle, *more, study="1"):
    return run("rank", site / MARK / study, "--engine", bundle, "--index", site / "i.index", *more)


def test_the_table_of_a_run_names_the_matches(site, bundle):
    table = site / "who.csv"
    run("embed", site / MARK, "--engine", bundle, "--out", site / "i.index", "--csv", table, "--with-identifiers")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["study_instance_uid"] for row in rows] == ["1.2.770", "1.2.771", "1.2.772"]
    assert [row["accession_number"] for row in rows] == ["A0", "A1", "A2"] and rows[0]["number"] == "1"
    told = check_output("rank", rank(site, bundle, "--studies", table, "--json").stdout)
    assert told["matches"][0]["path"] == str(site / MARK / "1") and told["matches"][0]["key"] == told["key"]
    shown = rank(site, bundle, "--studies", table).stdout.splitlines()
    assert f"  row {told['matches'][0]['row']}  {site / MARK / '1'}" in shown


def test_the_table_of_scores_names_them_too(site, bundle):
    table = site / "scores.csv"
    scored = run("score", site / MARK, "--engine", bundle, "--labels", "edema,", "--csv", table, "--with-identifiers")
    assert scored.exit_code == 0, scored.output
    told = check_output("rank", rank(site, bundle, "--studies", table, "--json", "--with-identifiers").stdout)
    assert told["matches"][0]["path"] == str(site / MARK / "1") == told["path"]
    assert (told["study_instance_uid"], told["accession_number"]) == ("1.2.771", "A1")


def test_the_studies_themselves_name_them_with_the_site_key_alone(site, bundle):
    told = check_output("rank", rank(site, bundle, "--studies", site / MARK, "--json").stdout)
    assert told["matches"][0]["path"] == str(site / MARK / "1")
    other = site / "other.key"
    other.write_text("cd" * 32)
    other.chmod(0o600)
    refused = rank(site, bundle, "--studies", site / MARK, "--key-file", other)
    assert refused.exit_code == 1 and "made with another site key" in refused.stderr


def test_without_it_nobody_is_named_and_unknown_ones_are_counted(site, bundle):
    plain = rank(site, bundle, "--json")
    assert MARK not in plain.output and "1.2.77" not in plain.output and "path" not in plain.stdout
    shutil.move(site / MARK / "2", site / "gone")
    told = rank(site, bundle, "--studies", site / MARK, "--json")
    assert sum(one["path"] is None for one in check_output("rank", told.stdout)["matches"]) == 1
    assert "1 of 3 matches are of no study in what --studies gives" in told.stderr


def test_what_does_not_go_together_is_refused(site, bundle, tmp_path):
    reports = tmp_path / "reports.txt"
    reports.write_text("there is edema\nno edema\n", encoding="utf-8")
    given = ["rank", site / MARK / "1", "--engine", bundle, "--reports", reports]
    assert run(*given, "--studies", site / MARK).exit_code == 2
    assert run(*given, "--with-identifiers").exit_code == 2
    check_output("rank", run(*given, "--write-index", tmp_path / "r.index", "--json", "--show-text").stdout)
    of_reports = run(*given[:4], "--index", tmp_path / "r.index", "--studies", site / MARK)
    assert of_reports.exit_code == 1 and "this one is of reports" in of_reports.stderr
    lacking = rank(site, bundle, "--studies", site / "plain.csv")
    assert lacking.exit_code == 1 and lacking.stderr.startswith("StudyError: table of studies lacks the columns path")
    assert MARK not in of_reports.output + lacking.output


def test_a_picture_has_the_key_that_the_index_has(tmp_path, bundle):
    folder = tmp_path / "pictures"
    folder.mkdir()
    grey = np.random.default_rng(1).integers(0, 255, (250, 250), dtype=np.uint8)
    Image.fromarray(grey).save(folder / "a.png")
    assert run("embed", folder, "--engine", bundle, "--out", tmp_path / "p.index").exit_code == 0
    found = run("rank", folder / "a.png", "--engine", bundle, "--index", tmp_path / "p.index", "--json")
    told = check_output("rank", found.stdout)
    assert told["key"] == told["matches"][0]["key"]
