"""Cells of a CSV file that a spreadsheet would run, and names that are no text."""

import os

import pytest

from alta_sdk.files.shown import escape_bytes
from alta_sdk.files.tables import quote_formula

FORMULAS = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "  =1", '"=1', "＝1", "＋1", "－1", "＠a"]


@pytest.mark.parametrize("cell", FORMULAS)
def test_text_that_would_run_gets_an_apostrophe(cell):
    assert quote_formula(cell) == f"'{cell}"
    for end in "\t\r\n":
        assert quote_formula(end + cell) == f"'{end}'{cell}"


@pytest.mark.parametrize("separator", [";", ",", "\t", "\n"])
def test_so_does_text_behind_what_another_country_takes_for_the_end_of_a_cell(separator):
    assert quote_formula(f"edema{separator}=1+1") == f"edema{separator}'=1+1"
    assert quote_formula(f"edema{separator} 3") == f"edema{separator} 3"


@pytest.mark.parametrize("cell", ["edema", "a-b", "mass (left)", "0.5", "frontal|lateral", "", 3, -0.5, 1e-9, None])
def test_everything_else_stays(cell):
    assert quote_formula(cell) is cell or quote_formula(cell) == cell


def test_bytes_of_a_path_become_text():
    path = os.fsdecode(b"/x/M\xfcller\xff.dcm")
    assert escape_bytes(path).encode("utf-8") == b"/x/M\\udcfcller\\udcff.dcm"
    assert escape_bytes("Müller →") == "Müller →"
