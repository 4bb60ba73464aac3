"""Tables whose columns cannot be told: refused in a line that says what to do, whoever reads them."""

import pytest

from alta_sdk import AltaError
from alta_sdk.errors import TrainingError
from alta_sdk.files.tables import read_rows
from alta_training.data.tables import read_rows as read_training_rows


def refuse(path, text: str) -> str:
    """Return why a table of studies is refused."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AltaError) as refused:
        read_rows(path, ["study", "edema"], error=AltaError, name="table of studies")
    return str(refused.value)


def test_two_columns_of_one_name_are_refused(tmp_path):
    message = refuse(tmp_path / "table.csv", "study,edema,age,edema\na.jpg,1,50,0\n")
    assert message == "column 4 of table of studies has the name of an earlier one: rename it, or take it out"


def test_columns_without_a_name_may_be_several(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("study,edema,,\na.jpg,1,,\n", encoding="utf-8")
    assert read_rows(table, ["study", "edema"], error=AltaError, name="table") == [
        {"study": "a.jpg", "edema": "1", "": ""}
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_another_separator_is_told(tmp_path, mark):
    told = "cells of table of studies are not separated by commas: save it as CSV with commas"
    assert refuse(tmp_path / "table.csv", f"study{mark}edema\na.jpg{mark}1\n") == told
    assert refuse(tmp_path / "table.csv", "study\na.jpg\n") == "table of studies lacks the columns edema"


def test_training_tells_of_another_separator(tmp_path):
    table = tmp_path / "train.csv"
    table.write_text("image_path;report\na.jpg;Clear.\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="table train.csv are not separated by commas"):
        read_training_rows(table, [])
