import io
import re
from datetime import datetime

import pydicom
import pytest
from highdicom import sr
from pydicom.uid import Comprehensive3DSRStorage

from alta_sdk.errors import DicomError, ServiceError
from alta_sdk.matching.results import ZeroShotResult
from alta_sdk.service.finding_codes import find_code
from alta_sdk.service.report_content import Predecessor
from alta_sdk.service.structured_report import read_scores, write_report
from alta_sdk.study.key import SiteKey
from alta_training.families.registry import FAMILIES
from service.reports import MARKS, PROVENANCE, SITE_KEY, make_content, make_source
from service.validators import dump_report, list_errors

LABELS = ["pneumonia", "pleural effusion", "cardiomegaly", "atelectasis", "edema", "consolidation", "pneumothorax"]
LABEL_SETS = {
    **{
        f"{family.name} {name}": list(labels)
        for family in FAMILIES
        for name, labels in family.asking.list_label_sets().items()
    },
    "seven": LABELS,
    "one of the site's own": ["knöcherne Läsion, rechts"],
    "phrases": ["x" * 300, "a\\b", "tab\there", "肺炎", "a=b^c", "\x1b$B"],
    "many": [f"label {number}" for number in range(200)],
}


def read(encoded):
    return sr.srread(io.BytesIO(encoded.data))


def check(encoded, folder):
    """Nobody has an objection to a report; return it as pydicom reads it."""
    assert list_errors(encoded.data, folder) == []
    dump_report(encoded.data, folder)
    report = read(encoded)
    assert report.content.get_image_measurement_groups()
    return report


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_every_label_set_makes_a_report_without_an_error(labels, tmp_path):
    scores = {label: (number + 1) / (len(labels) + 2) for number, label in enumerate(labels)}
    encoded = write_report(make_content(scores=scores, limits={labels[0]: 0.5}), SITE_KEY)
    report = check(encoded, tmp_path)
    groups = report.content.get_image_measurement_groups()
    assert [group.get_measurements()[0].value for group in groups] == list(scores.values())
    assert [group.finding_type.value for group in groups] == [find_code(label).value for label in labels]
    assert list(read_scores(encoded.data).values()) == list(scores.values())


def test_a_report_says_what_was_scored_by_what_and_how(tmp_path):
    encoded = write_report(make_content(limits={"pneumonia": 0.5}), SITE_KEY)
    report = check(encoded, tmp_path)
    assert (encoded.sop_class, encoded.sop_uid) == (Comprehensive3DSRStorage, report.SOPInstanceUID)
    assert encoded.series_uid == report.SeriesInstanceUID
    assert (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag) == (
        "COMPLETE",
        "PRELIMINARY",
        "UNVERIFIED",
    )
    assert (report.SeriesNumber, report.SeriesDescription) == (9002, "ALTA scores - NOT FOR CLINICAL USE")
    assert (report.ContentDate, report.ContentTime) == ("20261126", "110302")
    pneumonia, lesion = report.content.get_image_measurement_groups()
    assert pneumonia.finding_type == sr.CodedConcept("233604007", "SCT", "Pneumonia")
    assert lesion.finding_type.scheme_designator == "99ALTA"
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99ALTA"
    [score] = pneumonia.get_measurements()
    assert (score.name.value, score.value, score.unit.value) == ("246262008", 0.8123456789012345, "1")
    assert [site.value.value for site in pneumonia.finding_sites] == ["816094009"]
    [image] = pneumonia.source_images
    assert image.referenced_sop_instance_uid == "1.2.826.77.1"
    text = dump_report(encoded.data, tmp_path)
    for part in (
        '"Algorithm Version")="' + PROVENANCE["engine_sha256"],
        "fusion mode: frontal",
        "precision: fp32",
        "runtime: onnxruntime 1.29.0",
        '(123110,DCM,"Artificial Intelligence")',
        "is no probability",
        "made of random weights",
        "the first was read",
    ):
        assert part in text


def test_present_or_absent_is_said_only_of_a_calibrated_label(tmp_path):
    scores = {"pneumonia": 0.8, "edema": 0.2, "pneumothorax": 0.9}
    encoded = write_report(make_content(scores=scores, limits={"pneumonia": 0.8, "edema": 0.3}), SITE_KEY)
    groups = check(encoded, tmp_path).content.get_image_measurement_groups()
    said = [[(one.name.value, one.value.value) for one in group.get_qualitative_evaluations()] for group in groups]
    presence = [[one for one in found if one[0] == "121052"] for found in said]
    assert presence == [[("121052", "52101004")], [("121052", "272519000")], []]
    text = dump_report(encoded.data, tmp_path)
    assert text.count("threshold: ") == 2 and "threshold: 0.8" in text and "threshold: 0.3" in text


def test_the_same_result_is_the_same_object_and_another_revision_or_engine_is_not():
    first = write_report(make_content(), SITE_KEY)
    again = write_report(make_content(scored_at=datetime(2027, 1, 1), notices=("late",)), SITE_KEY)
    assert (first.sop_uid, first.series_uid) == (again.sop_uid, again.series_uid)
    second = write_report(make_content(revision=2), SITE_KEY)
    other = write_report(make_content(study_key="1f" * 16), SITE_KEY)
    elsewhere = write_report(make_content(), SiteKey(b"2" * 32))
    content = make_content()
    result = ZeroShotResult(content.result.scores, {**PROVENANCE, "engine_sha256": "6b" * 32})
    engine = write_report(type(content)(**{**vars(content), "result": result}), SITE_KEY)
    corrected = write_report(make_content(make_source(PatientName="QUIXLEY^ZOE")), SITE_KEY)
    found = [first, second, other, elsewhere, engine, corrected]
    assert len({one.sop_uid for one in found}) == len(found)
    assert first.series_uid == second.series_uid != engine.series_uid


def test_a_revision_names_its_predecessor(tmp_path):
    first = write_report(make_content(), SITE_KEY)
    before = Predecessor(first.sop_class, first.sop_uid, first.series_uid)
    report = check(write_report(make_content(revision=2, predecessor=before), SITE_KEY), tmp_path)
    [study] = report.PredecessorDocumentsSequence
    [series] = study.ReferencedSeriesSequence
    [reference] = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.826.77.2", first.series_uid)
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (first.sop_class, first.sop_uid)
    assert report.InstanceNumber == 2


def test_every_image_that_was_scored_is_named_the_prior_in_its_own_study(tmp_path):
    prior = make_source(
        StudyInstanceUID="1.2.826.78.2", SOPInstanceUID="1.2.826.78.1", SeriesInstanceUID="1.2.826.78.3"
    )
    lateral = make_source(SOPInstanceUID="1.2.826.77.9", ViewPosition="LL")
    report = check(write_report(make_content([make_source(), lateral, prior]), SITE_KEY), tmp_path)
    [own], [other] = report.CurrentRequestedProcedureEvidenceSequence, report.PertinentOtherEvidenceSequence
    assert (own.StudyInstanceUID, other.StudyInstanceUID) == ("1.2.826.77.2", "1.2.826.78.2")
    uids = [one.ReferencedSOPInstanceUID for one in own.ReferencedSeriesSequence[0].ReferencedSOPSequence]
    assert uids == ["1.2.826.77.1", "1.2.826.77.9"]
    for group in report.content.get_image_measurement_groups():
        assert len(group.source_images) == 3


def test_a_notice_is_told_in_the_report(tmp_path):
    notice = "prior was asked for and not found: the archive did not answer in 10 s"
    assert notice in dump_report(write_report(make_content(notices=(notice,)), SITE_KEY).data, tmp_path)


ABSENT = ["StudyTime", "StudyDate", "PatientSex", "PatientBirthDate", "PatientName", "AccessionNumber", "PatientID"]


@pytest.mark.parametrize("keyword", [*ABSENT, "ViewPosition", "SeriesNumber"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_source_may_lack_what_it_does_not_have_to_state(keyword, value, tmp_path):
    report = check(write_report(make_content(make_source(**{keyword: value})), SITE_KEY), tmp_path)
    assert report.StudyInstanceUID == "1.2.826.77.2"
    if keyword in ABSENT:
        assert keyword in report and not report[keyword].value


NAMES = {
    "UTF-8": ("ISO_IR 192", "Müller^Zoë"),
    "Latin-1": ("ISO_IR 100", "Buc^Jérôme"),
    "Greek": ("ISO_IR 126", "Διονυσιος^Μαρια"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Japanese with half-width katakana": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг^Анна"),
    "one word": ("ISO_IR 100", "Müller"),
}


@pytest.mark.parametrize(("charset", "name"), NAMES.values(), ids=NAMES)
def test_a_name_in_any_character_set_is_the_same_name_in_the_report(charset, name, tmp_path):
    source = make_source(SpecificCharacterSet=charset, PatientName=name, ReferringPhysicianName=name)
    encoded = write_report(make_content(source), SITE_KEY)
    report = check(encoded, tmp_path)
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == str(report.ReferringPhysicianName) == name
    assert name.split("=")[0] in dump_report(encoded.data, tmp_path)


HOSTILE = {
    "PatientName": ["a" * 65, "a^b^c^d^e^f", "a=b=c=d", "a\\b", "line\nbreak", "\x1b[31mred", "\x7f"],
    "PatientSex": ["X", "female", "m", "<script>", "M\\F"],
    "PatientBirthDate": ["19000230", "yesterday", "00000000", "1951-11", "20240501-20240601"],
    "StudyDate": ["99999999", "tomorrow", "20240501\\20240502"],
    "StudyTime": ["9", "noon", "2560", "12:", "-1"],
    "AccessionNumber": ["A" * 17, "a\\b", "'; DROP TABLE studies; --", "\x00\x01", "<b>x</b>" * 4],
    "StudyID": ["S" * 17, "a\\b"],
    "ReferringPhysicianName": ["r" * 65, "a\\b"],
    "IssuerOfPatientID": ["i" * 65, "\t"],
}


@pytest.mark.filterwarnings("ignore")  # of pydicom, when the source is written
@pytest.mark.parametrize(("keyword", "value"), [(keyword, value) for keyword in HOSTILE for value in HOSTILE[keyword]])
def test_a_hostile_value_is_left_out_and_told_by_its_keyword(keyword, value, tmp_path, caplog, capfd):
    source = make_source(**{keyword: value}) if isinstance(value, str) else None
    encoded = write_report(make_content(source), SITE_KEY)
    report = check(encoded, tmp_path)
    stated = value.strip("\x00") == report.get(keyword)
    assert stated or not report.get(keyword)
    if not stated and keyword not in ("StudyDate", "StudyTime"):
        assert f"{keyword} of an image is not valid DICOM" in dump_report(encoded.data, tmp_path)
    assert not [one for one in caplog.records if one.name != "pydicom"] and capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", ["x" * 65, "a\\b", "a\nb", "\x1b$B"])
def test_a_patient_id_that_may_not_be_written_refuses_the_report(value):
    with pytest.raises(DicomError, match="PatientID") as refusal:
        make_content(make_source(PatientID=value))
    assert value not in str(refusal.value)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.filterwarnings("ignore")
def test_an_image_without_its_uids_refuses_the_report(keyword):
    for value in (None, "", "1.2.abc", "1." + "2" * 64):
        with pytest.raises(DicomError, match=keyword):
            make_content(make_source(**{keyword: value}))


def test_nothing_of_the_patient_is_logged_printed_or_warned_of(caplog, capfd, recwarn):
    caplog.set_level(0)
    write_report(make_content(make_source(PatientName="QUIXLEY")), SITE_KEY)
    said = caplog.text + "".join(capfd.readouterr()) + "".join(str(one.message) for one in recwarn)
    assert not [mark for mark in (*MARKS, "1.2.826.77") if mark in said]


def test_a_report_that_cannot_be_written_says_so_without_a_value():
    content = make_content()
    broken = type(content)(**{**vars(content), "result": ZeroShotResult({"pneumonia": "QUIXLEY"}, PROVENANCE)})
    with pytest.raises(ServiceError, match="report cannot be written") as refusal:
        write_report(broken, SITE_KEY)
    assert "QUIXLEY" not in str(refusal.value)


@pytest.mark.parametrize("data", [b"", b"junk" * 100, make_source()])
def test_what_is_no_report_is_not_read_as_one(data):
    with pytest.raises(ServiceError, match="cannot be read back"):
        read_scores(data)


def test_no_identifier_of_the_file_meta_is_the_sources(tmp_path):
    report = pydicom.dcmread(io.BytesIO(write_report(make_content(), SITE_KEY).data))
    assert report.file_meta.MediaStorageSOPInstanceUID == report.SOPInstanceUID
    assert re.fullmatch(r"2\.25\.[0-9]+", report.SOPInstanceUID)
