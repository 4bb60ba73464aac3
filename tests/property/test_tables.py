"""Whatever a table of reports, studies or truth holds, reading it gives rows or an error that quotes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alta_sdk import AltaError
from alta_training.data.records import COLUMNS, read_record_paths
from alta_training.data.tables import read_rows

cells = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "table.csv"


@given(st.binary(max_size=600))
def test_any_bytes(path, data):
    path.write_bytes(data)
    try:
        rows = read_rows(path, ("report",))
    except AltaError as error:
        assert "\n" not in str(error)
    else:
        assert rows and all("report" in row for row in rows)


@given(st.lists(st.lists(cells, min_size=1, max_size=7), min_size=1, max_size=6), st.sampled_from(",;\t"))
def test_any_cells_under_the_right_header(path, lines, separator):
    text = "\n".join([",".join(COLUMNS), *(separator.join(line) for line in lines)])
    path.write_text(text, encoding="utf-8", newline="")
    try:
        rows = read_rows(path, COLUMNS)
    except AltaError:
        return
    for row in rows:
        assert all(isinstance(value, str) for value in row.values())
        read_record_paths(row, path.parent)


@given(st.text("abc", min_size=20, max_size=20))
def test_an_error_does_not_quote_the_table(path, secret):
    path.write_text(f"{secret},other\n{secret},{secret}\n", encoding="utf-8")
    with pytest.raises(AltaError) as caught:
        read_rows(path, ("report",))
    assert secret not in str(caught.value)
