"""The CSV file and the page of a run: what they say, what they never load, and that text stays text."""

import csv
import io
import re

import pytest
from fakes.run_pages import EVIL, ORIGIN, Page, make_map

from alta_sdk.report.page import render_page
from alta_sdk.report.run import ReportRow, RunReport, render_csv
from alta_sdk.study.naming import Failure


@pytest.fixture
def report():
    rows = [
        ReportRow({"edema": 0.81, EVIL: 0.2}, ("frontal",), {"edema": 0.5}, maps=[make_map()]),
        ReportRow(error=Failure("DicomError", "not a DICOM file"), key="ef" * 16),
        ReportRow({"edema": 0.4, EVIL: 0.9}, ("frontal", "lateral"), {"edema": 0.5}, maps=[make_map(0, 0.9)]),
    ]
    return RunReport(rows, ORIGIN, [EVIL])


def test_page_is_valid_and_loads_nothing(report):
    page = Page(render_page(report))
    assert "script" not in {tag for tag, _ in page.elements}
    for attributes in (attributes for _, attributes in page.elements):
        assert not {"href", "srcset", "onload", "action", "data", "background"} & attributes.keys()
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    assert not re.search(r"url\(|@import|https?:", render_page(report))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script" not in policy


def test_text_stays_text(report):
    text = render_page(report)
    assert EVIL not in text
    assert Page(text).texts.count(EVIL) == 1, "the label's column, as text"
    assert any("DEMO " + EVIL in part for part in Page(text).texts)
    assert any("chest & <co>" in part for part in Page(text).texts)


def test_page_shows_scores_as_bars_with_thresholds(report):
    page = Page(render_page(report))
    bars = [a["style"] for a in page.all("span") if a.get("class") == "bar"]
    assert bars == ["width:81.0%", "width:20.0%", "width:40.0%", "width:90.0%"]
    assert [a["style"] for a in page.all("span") if a.get("class") == "limit"] == ["left:50.0%"] * 2
    assert sum(a.get("class") == "above" for a in page.all("span")) == 1
    assert "DicomError: not a DICOM file" in page.texts and "Not for clinical use." in page.texts
    assert any("2 of 3 studies scored for 2 labels" in text for text in page.texts)


def test_maps_of_a_phrase_share_one_scale(report):
    assert report.limits_of(0) == pytest.approx((0.1, 0.9))
    page = Page(render_page(report))
    assert len(page.all("figure")) == 2 and "+0.900" in page.texts
    assert all(int(image["width"]) <= 320 for image in page.all("img") if "width" in image)
    weak, strong = (row.maps[0].paint(report.limits_of(0)).astype(int) for row in (report.rows[0], report.rows[2]))
    assert abs(strong - 90).max() > abs(weak - 90).max()


def test_csv_has_a_line_for_each_study(report):
    rows = list(csv.DictReader(io.StringIO(render_csv(report))))
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert [row["key"] for row in rows] == ["", "ef" * 16, ""]
    assert [row["edema"] for row in rows] == ["0.81", "", "0.4"]
    assert rows[0]["threshold edema"] == "0.5" and rows[1]["error_class"] == "DicomError"
    assert [row["error_message"] for row in rows] == ["", "not a DICOM file", ""]
    assert rows[2]["slots"] == "frontal|lateral" and rows[2]["engine_sha256"] == "ab" * 32
    assert "path" not in rows[0]


def test_paths_only_where_they_were_given():
    who = {"path": "/x/DOE <JANE>", "study_instance_uid": "1.2.3", "accession_number": "=A7", "key": "ab" * 16}
    report = RunReport([ReportRow({"edema": 0.5}, **who)], ORIGIN)
    row = list(csv.DictReader(io.StringIO(render_csv(report))))[0]
    assert {name: row[name] for name in who} == {**who, "accession_number": "'=A7"}
    assert set(who.values()) <= set(Page(render_page(report)).texts)


def test_a_cell_holds_nothing_that_a_terminal_obeys():
    report = RunReport([ReportRow({"edema\x1b[2J": 0.5}, path="/x/z\x1b[2J\u202e\n\udcff.jpg")], ORIGIN)
    text = render_csv(report)
    assert not {one for one in text if not one.isprintable()} - {"\n"} and text.count("\n") == 2
    assert "z\\x1b[2J\\u202e\\n\\udcff.jpg" in text


def test_the_page_tells_what_was_read_of_each_study_and_what_the_engine_is_for():
    rows = [
        ReportRow({"edema": 0.4}, ("frontal", "prior_frontal"), fusion_mode="prior"),
        ReportRow({"edema": 0.5}, ("frontal",), fusion_mode="frontal"),
    ]
    terms = {"intended use": f"research {EVIL}", "licence": "MIT"}
    page = Page(render_page(RunReport(rows, ORIGIN, terms=terms)))
    assert {"frontal, prior frontal (fusion prior)", "frontal (fusion frontal)"} <= set(page.texts)
    assert {"intended use", f"research {EVIL}", "licence", "MIT"} <= set(page.texts)
    alike = Page(render_page(RunReport([rows[1], ReportRow(error=Failure("StudyError", "x"))], ORIGIN)))
    assert "frontal" in alike.texts and not any("(fusion" in text for text in alike.texts)


def test_a_run_without_any_score_still_makes_a_page():
    report = RunReport([ReportRow(error=Failure("StudyError", "study is empty"))], {})
    assert "StudyError: study is empty" in Page(render_page(report)).texts
    assert render_csv(report).splitlines()[0].startswith("number,key,slots,error_class,error_message")


def test_what_must_be_told_of_a_picture_stands_in_table_and_page():
    report = RunReport([ReportRow({"edema": 0.5}, notices=(f"frontal: {EVIL}", "frontal: looks upside down"))], ORIGIN)
    row = list(csv.DictReader(io.StringIO(render_csv(report))))[0]
    assert row["reading"] == f"frontal: {EVIL} | frontal: looks upside down"
    text = render_page(report)
    assert EVIL not in text and "frontal: looks upside down" in Page(text).texts
