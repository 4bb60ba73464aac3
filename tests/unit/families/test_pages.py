"""The pages of the families say what the registry says: each family, its licence and intended use, word for word."""

import pytest
from conftest import ROOT

from alta_training.families.registry import FAMILIES

OVERVIEW = ROOT / "docs" / "families.md"
PAGES = sorted((ROOT / "docs" / "families").glob("*.md"))


def read(path):
    return path.read_text(encoding="utf-8")


def find_table_row(family):
    (row,) = [line for line in read(OVERVIEW).splitlines() if line.startswith(f"| `{family.name}` |")]
    return row


def test_the_overview_lists_the_families_of_the_registry_and_no_other():
    rows = [line.split("`")[1] for line in read(OVERVIEW).splitlines() if line.startswith("| `")]
    assert rows == [family.name for family in FAMILIES]


def test_the_overview_links_every_page():
    assert PAGES
    for page in PAGES:
        assert f"](families/{page.name})" in read(OVERVIEW)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_licence_and_intended_use_of_a_family_are_word_for_word(family):
    row = find_table_row(family)
    assert f"| {family.licence} |" in row
    own = [page for page in PAGES if f"(families/{page.name})" in row] or [OVERVIEW]
    assert len(own) == 1
    text = read(own[0])
    assert f"`{family.name}`" in text
    assert f"\nLicence of the weights: {family.licence}" in text
    assert f"\n> {family.intended_use}\n" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_says_what_was_not_verified(page):
    text = read(page)
    assert "Not for clinical use" in text
    assert "alta-export --checkpoint" in text
    assert "**random weights**" in text and "\nNot verified: " in text and "never here" in text
