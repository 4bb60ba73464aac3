"""Cases of ../shared/cases on what a header means: body parts, dates, descriptions in other words."""

import pytest
from conftest import DATA_DIR

from alta_sdk import Slot, Study, StudyError, ViewError

CASES = DATA_DIR.parent / "cases"
pytestmark = pytest.mark.skipif(not CASES.exists(), reason="shared data absent: cases")


@pytest.mark.parametrize("name", ["torax", "cxr", "chestpa", "unknown"])
def test_a_chest_in_other_words_and_a_placeholder_are_read(name):
    study = Study.from_dicom(CASES / "body-part-in-other-words" / f"{name}.dcm")
    assert study.slots == (Slot.FRONTAL,)


@pytest.mark.parametrize("name", ["prior", "prior2"])
def test_a_date_that_is_none_makes_no_prior(name):
    folder = CASES / "date-that-is-none"
    with pytest.raises(StudyError, match="prior is not earlier .*: compare the StudyDate"):
        Study.from_dicom(folder / "current.dcm", prior=folder / f"{name}.dcm")


def test_a_description_of_two_views_tells_neither():
    with pytest.raises(ViewError, match="2 unknown"):
        Study.from_dicom([CASES / "description-of-two-views" / "1.dcm", CASES / "description-of-two-views" / "2.dcm"])
