"""Ranking reports: the order, the cut, and no text where none was asked for."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from alta_sdk import PromptError, ReportIndex
from alta_sdk.cli import main

REPORTS = ["there is edema", "the lungs are clear", "there is pneumonia in the left lung"]


def test_the_order_is_that_of_the_cosines(matcher, radiograph_path):
    ranking = matcher.rank(radiograph_path, REPORTS)
    cosines = matcher.score(radiograph_path, REPORTS)
    assert [report.row for report in ranking.reports] == np.argsort(-cosines).tolist()
    np.testing.assert_allclose([r.score for r in ranking.reports], np.sort(cosines)[::-1], atol=1e-6)
    assert ranking.provenance["reports_cut"] == 0 and ranking.provenance["fusion_mode"] == "frontal"


def test_a_long_report_is_cut_and_told(matcher, radiograph_path):
    long = "there is no edema " * 200
    ranking = matcher.rank(radiograph_path, [long, REPORTS[0], matcher.engine.cut_prompt(long)])
    by_row = {report.row: report for report in ranking.reports}
    assert [by_row[row].is_cut for row in range(3)] == [True, False, False]
    assert by_row[0].score == by_row[2].score
    assert ranking.provenance["reports_cut"] == 1
    assert "edema" not in json.dumps(ranking.as_dict())


@pytest.mark.parametrize("reports", [[], "one string", ["fine", "  "]])
def test_no_report_and_an_empty_one_are_refused(matcher, radiograph_path, reports):
    with pytest.raises(PromptError, match="report"):
        matcher.rank(radiograph_path, reports)


def rank(radiograph_path, bundle, *more):
    return CliRunner().invoke(main, ["rank", str(radiograph_path), "--engine", str(bundle), *map(str, more)])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text("id,report\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(REPORTS)), encoding="utf-8")
    return path


@pytest.mark.usefixtures("still_clock")
def test_csv_and_lines_rank_alike_and_show_rows_alone(matcher, radiograph_path, bundle, table, tmp_path):
    lines = tmp_path / "reports.txt"
    lines.write_text("\n".join(REPORTS) + "\n", encoding="utf-8")
    shown = [rank(radiograph_path, bundle, "--reports", path, "--json") for path in (table, lines)]
    assert shown[0].exit_code == 0 and shown[0].stdout == shown[1].stdout
    expected = [report.row + 1 for report in matcher.rank(radiograph_path, REPORTS).reports]
    assert [match["row"] for match in json.loads(shown[0].stdout)["matches"]] == expected
    plain = rank(radiograph_path, bundle, "--reports", table, "--top", 2)
    assert "lungs" not in plain.output and "edema" not in plain.output and "pneumonia" not in plain.output
    assert "edema" in rank(radiograph_path, bundle, "--reports", table, "--show-text").stdout


def test_reports_kept_as_an_index_rank_alike_and_hold_no_text(radiograph_path, bundle, table, tmp_path):
    index = tmp_path / "reports.index"
    made = rank(radiograph_path, bundle, "--reports", table, "--write-index", index, "--json")
    assert made.exit_code == 0, made.output
    found = rank(radiograph_path, bundle, "--index", index, "--json")
    rows = [[match["row"] for match in json.loads(result.stdout)["matches"]] for result in (made, found)]
    assert rows[0] == rows[1]
    assert len(ReportIndex.open(index)) == 3
    assert not any(word in index.read_bytes() for word in (b"edema", b"lungs", b"pneumonia"))


def test_wrong_usage_and_wrong_tables(radiograph_path, bundle, table, tmp_path):
    assert rank(radiograph_path, bundle).exit_code == 2
    assert rank(radiograph_path, bundle, "--reports", table, "--index", table).exit_code == 2
    assert rank(radiograph_path, bundle, "--index", table, "--show-text").exit_code == 2
    for path, said in ((tmp_path / "none.csv", "not found"), (tmp_path / "none.txt", "cannot be read")):
        refused = rank(radiograph_path, bundle, "--reports", path)
        assert refused.exit_code == 1 and said in refused.stderr and "none" not in refused.stderr
    refused = rank(radiograph_path, bundle, "--reports", table, "--column", "text")
    assert refused.exit_code == 1 and "lacks the columns text" in refused.stderr
