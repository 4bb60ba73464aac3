import tomllib
from pathlib import Path

import pytest

import alta_sdk.service.finding_codes as finding_codes
from alta_sdk.matching.prompts import build_label_sets
from alta_sdk.service.finding_codes import FindingCode, find_code, make_private_code


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("pneumonia", "233604007"),
        ("Pleural Effusion", "60046008"),
        ("pleural_effusion", "60046008"),
        ("cardiomegaly", "8186001"),
        ("ATELECTASIS", "46621007"),
        ("edema", "19242006"),
        ("consolidation", "95436008"),
        (" pneumothorax ", "36118008"),
    ],
)
def test_a_finding_of_the_table_has_its_snomed_code(label, code):
    assert (find_code(label).value, find_code(label).scheme) == (code, "SCT")


def test_every_label_of_the_published_sets_has_a_snomed_code():
    labels = {label for labels in build_label_sets().values() for label in labels}
    assert labels and {find_code(label).scheme for label in labels} == {"SCT"}


def test_the_table_gives_one_name_to_one_code():
    path = Path(finding_codes.__file__).with_name("finding_codes.toml")
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["finding"]
    names = [name for row in rows for name in row["names"]]
    assert len(names) == len(set(names)) and len({row["code"] for row in rows}) == len(rows)


def test_another_label_has_a_private_code_that_is_always_the_same():
    lesion = FindingCode("L-a4a1c7f6caf7", "99ALTA", "lung lesion")
    assert find_code("lung lesion") == find_code(" lung lesion") == lesion
    assert find_code("lung lesions").value != find_code("lung lesion").value


@pytest.mark.parametrize(
    "label", ["x" * 300, "a\\b", "tab\there", "\x00", "ü" * 64, "\ud800", "no pneumonia", "肺炎", "=^", "\x1b$B"]
)
def test_a_private_code_fits_its_elements_whatever_the_label_is(label):
    code = make_private_code(label)
    assert len(code.value) <= 16 and 0 < len(code.meaning.encode("utf-8")) <= 64
    assert code.meaning.isprintable() and "\\" not in code.meaning
