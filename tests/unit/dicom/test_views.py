"""Views: which element tells one, and how sure that is."""

import pytest
from pydicom import Dataset

from alta_sdk.dicom.views import FRONTAL_CODES, LATERAL_CODES, Confidence, View, read_view


def make_header(**elements):
    header = Dataset()
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def make_code(value, scheme="SCT", meaning="", modifier=""):
    code = make_header(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
    if modifier:
        code.ViewModifierCodeSequence = [make_header(CodeMeaning=modifier)]
    return code


@pytest.mark.parametrize(
    ("elements", "view", "source", "confidence"),
    [
        ({"ViewPosition": "PA"}, View.FRONTAL, "ViewPosition", Confidence.HIGH),
        ({"ViewPosition": "LL"}, View.LATERAL, "ViewPosition", Confidence.HIGH),
        ({"ViewPosition": "AP LLD"}, View.OTHER, "ViewPosition", Confidence.HIGH),
        ({"ViewPosition": "XTABLE LATERAL"}, View.OTHER, "ViewPosition", Confidence.HIGH),
        ({"ViewCodeSequence": [make_code("R-10206", "SRT")]}, View.FRONTAL, "ViewCodeSequence", Confidence.HIGH),
        ({"ViewCodeSequence": [make_code("399173006")]}, View.LATERAL, "ViewCodeSequence", Confidence.HIGH),
        (
            {"ViewCodeSequence": [make_code("X1", "99ABC", "lateral")]},
            View.LATERAL,
            "ViewCodeSequence",
            Confidence.HIGH,
        ),
        ({"ViewCodeSequence": [make_code("R-10206", "99ABC")]}, View.UNKNOWN, "", Confidence.NONE),
        (
            {"ViewCodeSequence": [make_code("399348003", modifier="Lordotic")]},
            View.OTHER,
            "ViewCodeSequence",
            Confidence.HIGH,
        ),
        ({"SeriesDescription": "THORAX_PA"}, View.FRONTAL, "SeriesDescription", Confidence.MEDIUM),
        ({"StudyDescription": "Chest lateral"}, View.LATERAL, "StudyDescription", Confidence.LOW),
        ({"StudyDescription": "CHEST (PA AND LAT)"}, View.UNKNOWN, "", Confidence.NONE),
        ({"PatientOrientation": ["P", "F"]}, View.LATERAL, "PatientOrientation", Confidence.LOW),
        ({"ViewPosition": "STANDING", "ProtocolName": "AP"}, View.FRONTAL, "ProtocolName", Confidence.MEDIUM),
    ],
)
def test_the_first_element_that_tells_a_view_decides(elements, view, source, confidence):
    finding = read_view(make_header(**elements))
    assert (finding.view, finding.source, finding.confidence) == (view, source, confidence)


def test_a_description_never_rejects_but_lowers_the_confidence():
    finding = read_view(make_header(ViewPosition="AP", SeriesDescription="CHEST LATERAL", StudyDescription="LATERAL"))
    assert (finding.view, finding.confidence) == (View.FRONTAL, Confidence.MEDIUM)
    assert finding.contradicted_by == ("SeriesDescription",)


def test_two_coded_elements_that_contradict_each_other_leave_little_confidence():
    finding = read_view(make_header(ViewPosition="PA", ViewCodeSequence=[make_code("399067008")]))
    assert (finding.view, finding.confidence) == (View.FRONTAL, Confidence.LOW)
    assert finding.contradicted_by == ("ViewCodeSequence",)


def test_the_view_codes_are_those_of_the_standard():
    from pydicom.sr._snomed_dict import mapping

    ct = {code for code in FRONTAL_CODES | LATERAL_CODES if not code.startswith("R-")}
    rt = FRONTAL_CODES | LATERAL_CODES - ct
    assert ct <= set(mapping["SCT"])
    assert {mapping["SCT"][code] for code in ct} <= rt
    assert {mapping["SRT"].get(code) for code in rt} <= ct | {None}
