"""Sentences made by rule from labels: each is known with what it claims, and none says two things."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alta_sdk import TrainingError
from alta_training.data.labelled import split_findings
from alta_training.data.sentences import (
    WORDINGS,
    Claim,
    describe_labels,
    list_claims,
    list_labels,
    list_statements,
    read_wordings,
    split_sentences,
)

OWN = read_wordings()
CLAIMS = list_claims(OWN)
FINDINGS = tuple(OWN.findings)
NORMAL = "No Finding"


@given(st.sets(st.sampled_from(FINDINGS)), st.integers())
def test_what_labels_are_described_with_claims_these_labels_and_nothing_else(findings, seed):
    sentences = describe_labels(findings, OWN, random.Random(seed))
    assert [CLAIMS[sentence.lower()] for sentence in sentences] == [Claim(f, True) for f in FINDINGS if f in findings]
    stated = list_statements(sentences, CLAIMS, OWN)
    assert [state == 1 for state in stated] == list_labels(findings, OWN)
    assert -1 not in stated


@given(st.integers())
def test_no_finding_says_that_each_is_absent(seed):
    sentences = describe_labels([NORMAL], OWN, random.Random(seed))
    expected = [*(Claim(finding, False) for finding in FINDINGS), Claim(NORMAL, True)]
    assert [CLAIMS[sentence.lower()] for sentence in sentences] == expected
    assert list_statements(sentences, CLAIMS, OWN) == [-1] * len(FINDINGS) + [1]


@given(st.sets(st.sampled_from([*FINDINGS, NORMAL]), min_size=1), st.integers())
def test_a_report_of_sentences_is_split_into_them_again(findings, seed):
    sentences = describe_labels(findings, OWN, random.Random(seed))
    assert split_sentences(f" {' '.join(sentences)}\n") == sentences


def test_every_sentence_that_can_be_made_is_known():
    """As many as there are wordings of each name, and the normal ones."""
    names = sum(len(own) for own in OWN.findings.values())
    assert len(CLAIMS) == names * (len(OWN.present) + len(OWN.absent)) + len(OWN.normal)
    assert CLAIMS["there is pleural effusion."] == Claim("Effusion", True)
    assert CLAIMS["no infiltrate is seen."] == Claim("Infiltration", False)
    assert CLAIMS["the lungs are clear."] == Claim(NORMAL, True)


@pytest.mark.parametrize("sentence", ["There is an opacity.", "There is edema", "", "There is no edema or mass."])
def test_a_report_with_a_sentence_that_is_not_made_of_labels_has_no_statements(sentence):
    assert list_statements(["There is edema.", sentence], CLAIMS, OWN) is None


def test_statements_are_of_the_columns_of_the_labels():
    assert OWN.columns == (*FINDINGS, NORMAL)
    stated = list_statements(["THERE IS EDEMA.", "No mass."], CLAIMS, OWN)
    assert dict(zip(OWN.columns, stated, strict=True)) == dict.fromkeys(OWN.columns, 0) | {"Edema": 1, "Mass": -1}
    assert list_statements([], CLAIMS, OWN) == [0] * len(OWN.columns)


def test_labels_that_the_wordings_do_not_know_are_not_told():
    assert describe_labels(["Granuloma"], OWN, random.Random(0)) == []
    assert list_labels(["Granuloma", "Mass"], OWN) == [name == "Mass" for name in OWN.columns]


def test_labels_are_compared_without_regard_to_case():
    for findings in (["Mass", "Edema"], [NORMAL]):
        shouted = [name.upper() for name in findings]
        assert list_labels(shouted, OWN) == list_labels(findings, OWN)
        told = [describe_labels(names, OWN, random.Random(1)) for names in (shouted, findings)]
        assert told[0] == told[1] != []


def test_no_finding_beside_a_finding_is_refused():
    assert split_findings("Mass | no finding x") == ["Mass", "no finding x"]
    assert split_findings("No Finding|no finding") == ["No Finding", "no finding"]
    with pytest.raises(TrainingError, match=r'"no finding\|Mass" say No Finding beside a finding: correct'):
        split_findings("no finding|Mass")


GOOD = 'present = ["There is {}."]\nabsent = ["No {}."]\nnormal = ["Clear."]\n[findings]\nMass = ["mass"]\n'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"There is {}."', '"No {}."'), '"No mass." would say two things'),
        (('"Clear."', '"no mass."'), '"No mass." would say two things'),
        (('["mass"]', '["mass"]\nNodule = ["Mass"]'), '"There is Mass." would say two things'),
        (("absent", "absence"), "cannot be read: give a TOML file"),
        (("[findings]", "[finding]"), "cannot be read: give a TOML file"),
        (('["mass"]', '"mass"'), "cannot be read: give a TOML file"),
        (('["mass"]', "[1]"), "cannot be read: give a TOML file"),
        (('["mass"]', '["mass"'), "cannot be read: give a TOML file"),
        (('["mass"]', "[]"), "every list needs a wording"),
        (('Mass = ["mass"]', ""), "there must be a finding"),
        (('["Clear."]', "[]"), "every list needs a wording"),
        (("There is {}.", "There is {name}."), '"There is {name}." must have {} once'),
        (("There is {}.", "There is {} and {}."), "must have {} once"),
        (("There is {}.", "There is {{}}."), "must have {} once"),
        (("There is {}.", "There is something."), "must have {} once"),
        (("Clear.", "Clear"), '"Clear" is not one sentence'),
        (("Clear.", "Clear. Normal."), '"Clear. Normal." is not one sentence'),
        (('["mass"]', '["a mass. Large"]'), "is not one sentence"),
        (("Clear.", "  Clear."), "is not one sentence"),
        (("Mass =", '"No Finding" ='), "No Finding is no finding"),
    ],
)
def test_wordings_of_another_form_are_refused_in_one_line(change, message, tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(GOOD, encoding="utf-8")
    assert read_wordings(file).columns == ("Mass", NORMAL)
    file.write_text(GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(TrainingError) as refused:
        read_wordings(file)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_wordings_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"wordings none\.toml cannot be read"):
        read_wordings(tmp_path / "none.toml")
    assert WORDINGS.is_file()
