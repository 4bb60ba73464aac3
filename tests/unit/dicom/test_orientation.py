"""Orientation: what the header says of how an image lies is undone without changing a pixel."""

import numpy as np
import pytest
from pydicom import Dataset

from alta_sdk.dicom.orientation import name_plane, read_directions, turn_upright

UPRIGHT = np.arange(12, dtype=np.uint8).reshape(3, 4)  # rows to the patient's left, columns to the feet


def stored_as(row, column):
    """Return the upright frontal image as a detector stores it whose rows and columns run this way."""
    lying = UPRIGHT
    if row in "HF":
        lying = lying.T
        row_runs_back, column_runs_back = row == "H", column == "R"
    else:
        row_runs_back, column_runs_back = row == "R", column == "H"
    lying = lying[:, ::-1] if row_runs_back else lying
    return lying[::-1] if column_runs_back else lying


@pytest.mark.parametrize("row", "LRHF")
@pytest.mark.parametrize("column", "LRHF")
def test_every_lie_of_a_frontal_is_brought_upright(row, column):
    header = Dataset()
    header.PatientOrientation = [row, column]
    directions = read_directions(header)
    if {row, column} <= set("LR") or {row, column} <= set("HF"):
        assert directions is None
        return
    assert name_plane(read_directions(header)) == "coronal"
    upright, turned = turn_upright(stored_as(row, column), directions, "coronal")
    np.testing.assert_array_equal(upright, UPRIGHT)
    assert bool(turned) == ((row, column) != ("L", "F"))


@pytest.mark.parametrize(("row", "column"), [("A", "F"), ("P", "H"), ("F", "A"), ("F", "P"), ("H", "A"), ("H", "P")])
def test_a_lateral_is_turned_and_never_mirrored(row, column):
    upright, _ = turn_upright(UPRIGHT, (row, column), "sagittal")
    quarter_turns = [np.rot90(UPRIGHT, quarters) for quarters in range(4)]
    assert any(upright.shape == turn.shape and (upright == turn).all() for turn in quarter_turns)
    head_first = {"A": 0, "P": 0, "F": 1, "H": 1}[row]
    assert (upright.shape == UPRIGHT.T.shape) == bool(head_first)


def test_an_orientation_of_another_plane_or_none_changes_nothing():
    colour = np.dstack([UPRIGHT] * 3)
    for directions in (None, ("A", "F")):
        image, turned = turn_upright(colour, directions, "coronal")
        np.testing.assert_array_equal(image, colour)
        assert turned == ""


@pytest.mark.parametrize("value", ["", "L", ["L"], ["L", "L"], ["X", "F"], ["L", "R"]])
def test_an_unusable_orientation_tells_nothing(value):
    header = Dataset()
    header.PatientOrientation = value
    assert read_directions(header) is None
    assert name_plane(read_directions(header)) == ""
