"""Priors: the latest earlier study of the same patient with a usable frontal, and nothing else."""

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from alta_sdk import Slot, Study, StudyError, ViewError
from alta_sdk.dicom.decode_time import DecodeTime
from alta_sdk.study.examination import NO_UID, SAME_UID, SEVERAL_DAYS
from alta_sdk.study.priors import MAX_DAMAGED, NOT_TRIED
from alta_sdk.study.study import SAME_PICTURE


@pytest.fixture
def archive(make_dicom):
    """Write a patient's folder: {name: (date, elements)}; the mean grey of a study is 10 times its number."""

    def write(**studies):
        for number, (name, (date, elements)) in enumerate(studies.items(), start=1):
            pixels = np.full((280, 260), 10 * number, np.uint16)
            pixels[:16, :16] = np.arange(256).reshape(16, 16)  # one grey level alone would be refused
            uid = {"StudyInstanceUID": f"1.2.{number}", "StudyDate": date}
            path = make_dicom(f"patient/{name}/image.dcm", pixels, **{**uid, **elements})
        return path.parent.parent

    return write


def grey(study, slot):
    return float(np.median(study.radiographs[slot].grey_u8))


def test_the_latest_study_is_the_current_one_and_the_latest_before_it_the_prior(archive):
    folder = archive(a=("20200101", {}), b=("20240101", {}), c=("20220101", {}))
    study = Study.from_dicom(folder, find_prior=True)
    assert (grey(study, Slot.FRONTAL), grey(study, Slot.PRIOR_FRONTAL)) == (20, 30)
    assert study.explain()["set_aside"] == [
        {"part": "folder", "what": "study", "why": "earlier than the prior", "count": 1}
    ]


def test_a_prior_without_a_usable_frontal_is_passed_over(archive):
    folder = archive(
        a=("20240101", {}), b=("20230101", {"ViewPosition": "LL"}), c=("20220101", {"Rows": 900}), d=("20210101", {})
    )
    study = Study.from_dicom(folder, find_prior=True)
    assert grey(study, Slot.PRIOR_FRONTAL) == 40
    assert study.explain()["set_aside"][0]["count"] == 2


def test_the_current_study_is_never_replaced_by_an_older_one(archive):
    folder = archive(a=("20240101", {"ViewPosition": "LL"}), b=("20230101", {}))
    with pytest.raises(ViewError, match="1 lateral"):
        Study.from_dicom(folder, find_prior=True)


def test_a_folder_of_one_study_has_no_prior_to_find(archive):
    assert Study.from_dicom(archive(a=("20240101", {})), find_prior=True).slots == (Slot.FRONTAL,)


def test_several_studies_are_refused_with_the_way_out(archive):
    with pytest.raises(StudyError, match="--find-prior"):
        Study.from_dicom(archive(a=("20240101", {}), b=("20230101", {})))


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientID": "P2"},
        {"PatientID": ""},
        {"PatientID": "P1", "IssuerOfPatientID": "B"},
        {"PatientID": "P1", "PatientBirthDate": "19900101"},
    ],
)
def test_another_patient_in_the_folder_or_the_archive_is_an_error(archive, make_dicom, elements):
    known = {"IssuerOfPatientID": "A", "PatientBirthDate": "19500101"}
    folder = archive(a=("20240101", known), b=("20230101", {}), c=("20220101", elements))
    with pytest.raises(StudyError, match="not of one patient"):
        Study.from_dicom(folder, find_prior=True)
    with pytest.raises(StudyError, match="not of the same patient"):
        Study.from_dicom(make_dicom("now.dcm", **known), prior=folder)


def test_images_of_two_patients_under_one_study_are_refused(make_dicom):
    files = [make_dicom("a.dcm"), make_dicom("b.dcm", ViewPosition="LL", PatientID="P2")]
    with pytest.raises(StudyError, match="several patients"):
        Study.from_dicom(files)


def test_a_prior_is_taken_from_an_archive_and_never_a_later_one(archive, make_dicom):
    folder = archive(a=("20200101", {}), b=("20240601", {}), c=("20230101", {}))
    study = Study.from_dicom(make_dicom("now.dcm"), prior=folder)  # of 20240501
    assert grey(study, Slot.PRIOR_FRONTAL) == 30
    assert {item["why"] for item in study.explain()["set_aside"]} == {
        "earlier than the prior",
        "not earlier than the current one",
    }


def test_on_one_day_the_time_decides_and_must_be_stated(archive):
    folder = archive(a=("20240101", {"StudyTime": "0915"}), b=("20240101", {"StudyTime": "091500.5"}))
    assert grey(Study.from_dicom(folder, find_prior=True), Slot.FRONTAL) == 20
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(archive(a=("20240101", {"StudyTime": "0915"}), b=("20240101", {})), find_prior=True)


def test_the_prior_lateral_comes_from_the_prior_study(archive, make_dicom):
    folder = archive(a=("20240101", {}), b=("20230101", {}))
    make_dicom("patient/b/lateral.dcm", StudyInstanceUID="1.2.2", StudyDate="20230101", ViewPosition="LL")
    study = Study.from_dicom(folder, find_prior=True)
    assert study.slots == (Slot.FRONTAL, Slot.PRIOR_FRONTAL, Slot.PRIOR_LATERAL)


def test_a_prior_is_given_or_found_not_both(archive):
    folder = archive(a=("20240101", {}))
    with pytest.raises(StudyError, match="choose one"):
        Study.from_dicom(folder, prior=folder, find_prior=True)


def test_a_study_that_states_two_dates_is_not_put_in_order(archive, make_dicom):
    folder = archive(a=("20240101", {}), b=("20230101", {}))
    make_dicom("patient/b/lateral.dcm", StudyInstanceUID="1.2.2", StudyDate="20250101", ViewPosition="LL")
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(folder, find_prior=True)


@pytest.mark.parametrize(
    "date", ["00000000", "99999999", "19000100", "19000101", "19010101", "19111111", "20231399", "20230230", "2023", ""]
)
def test_a_date_that_is_no_day_makes_no_prior_and_has_none(archive, make_dicom, date):
    folder = archive(a=("20230101", {}))
    with pytest.raises(StudyError, match="prior is not earlier"):
        Study.from_dicom(make_dicom("now.dcm", StudyDate=date), prior=folder)
    with pytest.raises(StudyError, match="prior is not earlier"):
        Study.from_dicom(make_dicom("now.dcm"), prior=make_dicom("old.dcm", StudyInstanceUID="1.9", StudyDate=date))
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(archive(a=("20240101", {}), b=(date, {})), find_prior=True)


@pytest.mark.parametrize("time", ["999999", "2460", "240000", "091"])
def test_a_time_that_is_none_does_not_order_one_day(archive, time):
    folder = archive(a=("20240101", {"StudyTime": "0915"}), b=("20240101", {"StudyTime": time}))
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(folder, find_prior=True)


@pytest.mark.parametrize(
    ("first", "second", "latest"),
    [
        (("20240101", "2330", "-0500"), ("20240102", "0010", "+0100"), 10),  # 04:30 and, before it, 23:10 UTC
        (("20240102", "0010", "+0100"), ("20240101", "2330", "-0500"), 20),
        (("20240101", "2330", "-0500"), ("20240102", "0010", ""), 20),  # one states no offset: clocks of one place
        (("20240101", "0900", "+0000"), ("20240101", "0930", "+0100"), 10),
        (("20240101", "0900", "Z"), ("20240101", "0930", "+01:00"), 10),
        (("20240102", "0900", "CET"), ("20240101", "0930", "+01:00"), 10),  # days are in order all the same
    ],
)
def test_offsets_from_utc_are_applied(archive, first, second, latest):
    def state(date, time, offset):
        return date, {"StudyTime": time, "TimezoneOffsetFromUTC": offset}

    study = Study.from_dicom(archive(a=state(*first), b=state(*second)), find_prior=True)
    assert grey(study, Slot.FRONTAL) == latest


@pytest.mark.parametrize("offset", ["CET", "+1:00", "+9900", "one"])
def test_an_offset_that_cannot_be_read_orders_nothing_on_one_day(archive, make_dicom, offset):
    times = {"a": ("20240101", {"StudyTime": "1200", "TimezoneOffsetFromUTC": offset})}
    folder = archive(**times, b=("20240101", {"StudyTime": "1130", "TimezoneOffsetFromUTC": "+0000"}))
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(folder, find_prior=True)
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(archive(**times, b=("20240101", {"StudyTime": "1130"})), find_prior=True)


def test_two_offsets_in_one_study_order_nothing_on_one_day(archive, make_dicom):
    here = {"StudyTime": "1200", "TimezoneOffsetFromUTC": "+0000"}
    folder = archive(a=("20240101", here), b=("20240101", {**here, "StudyTime": "1130"}))
    make_dicom(
        "patient/a/b.dcm",
        StudyInstanceUID="1.2.1",
        StudyDate="20240101",
        ViewPosition="LL",
        **{**here, "TimezoneOffsetFromUTC": "+0100"},
    )
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(folder, find_prior=True)


def test_a_day_to_come_orders_nothing_that_was(archive, make_dicom):
    """Data sets whose days were moved into the future as a whole are in order among themselves."""
    old = make_dicom("old.dcm", StudyDate="20230101", StudyInstanceUID="1.9")
    for day in ("21800101", "22990601", "29991231", "99981231"):
        with pytest.raises(StudyError, match="prior is not earlier"):
            Study.from_dicom(make_dicom("now.dcm", StudyDate=day), prior=old)
        with pytest.raises(StudyError, match="latest cannot be told"):
            Study.from_dicom(archive(a=("20240101", {}), b=(day, {})), find_prior=True)
    study = Study.from_dicom(archive(a=("21800506", {}), b=("21800507", {})), find_prior=True)
    assert (grey(study, Slot.FRONTAL), grey(study, Slot.PRIOR_FRONTAL)) == (20, 10)


def test_days_under_different_offsets_may_overlap(archive):
    days = {
        "a": ("20240102", {"TimezoneOffsetFromUTC": "+1400"}),
        "b": ("20240101", {"TimezoneOffsetFromUTC": "-1200"}),
    }
    with pytest.raises(StudyError, match="latest cannot be told"):
        Study.from_dicom(archive(**days), find_prior=True)


def test_a_birth_date_that_is_none_is_not_another_patients(archive, make_dicom):
    folder = archive(a=("20230101", {"PatientBirthDate": "00000000"}))
    assert (
        Slot.PRIOR_FRONTAL in Study.from_dicom(make_dicom("now.dcm", PatientBirthDate="19500101"), prior=folder).slots
    )


def write_damaged_priors(archive, count):
    """Write a study and earlier ones whose compressed pixels nothing decodes."""
    folder = archive(a=("20240101", {}), **{f"b{number}": (f"2023{number + 1:02}01", {}) for number in range(count)})
    for path in folder.glob("b*/image.dcm"):
        header = pydicom.dcmread(path)
        header.compress(uid.JPEGLSLossless, generate_instance_uid=False)
        header.PixelData = encapsulate([b"\xff\xd8\xff" + bytes(100)])
        header.save_as(path)
    return folder


@pytest.mark.parametrize(("seconds", "tried"), [(0.0, MAX_DAMAGED), (1.0, 4), (2.0, 2), (9.0, 1)])
def test_damaged_priors_share_what_decoding_may_take(archive, monkeypatch, seconds, tried):
    folder = write_damaged_priors(archive, 6)
    charge = DecodeTime.charge
    monkeypatch.setattr(DecodeTime, "charge", lambda self, used_s, explained_s=0.0: charge(self, seconds, explained_s))
    study = Study.from_dicom(folder, find_prior=True)
    assert study.slots == (Slot.FRONTAL,)
    counts = {item["why"]: item["count"] for item in study.explain()["set_aside"]}
    unusable = "earlier, but it has no usable frontal radiograph"
    assert counts == {unusable: tried, NOT_TRIED: 6 - tried}


def test_a_prior_under_the_current_study_uid_is_refused(make_dicom):
    now = make_dicom("now/a.dcm")
    with pytest.raises(StudyError, match="StudyInstanceUID of the current study"):
        Study.from_dicom(now, prior=make_dicom("old/a.dcm", StudyDate="20230101"))
    archive = now.parent.parent / "old"
    make_dicom("old/b.dcm", StudyDate="20220101", StudyInstanceUID="1.9", ViewPosition="AP")
    study = Study.from_dicom(now, prior=archive)
    assert study.slots == (Slot.FRONTAL, Slot.PRIOR_FRONTAL)
    assert [item["why"] for item in study.explain()["set_aside"]] == ["not earlier than the current one"]


@pytest.mark.parametrize("view", ["PA", "LL"])
def test_a_prior_under_the_sop_uid_of_a_current_image_is_told(make_dicom, view):
    one = {"SOPInstanceUID": "1.2.77"}
    pixels = np.random.default_rng(3).integers(0, 4096, (300, 280), dtype=np.uint16)
    current = [make_dicom("a.dcm", SOPInstanceUID="1.2.76"), make_dicom("b.dcm", ViewPosition="LL", **one)]
    if view == "PA":
        current = [make_dicom("a.dcm", **one)]
    prior = make_dicom("old.dcm", pixels, StudyDate="20230101", StudyInstanceUID="1.9", **one)
    study = Study.from_dicom(current, prior=prior)
    told = [note for note in study.read_notes(study.slots) if note.endswith(SAME_UID)]
    assert told == [f"{'frontal' if view == 'PA' else 'lateral'}: {SAME_UID}", f"prior_frontal: {SAME_UID}"]


@pytest.mark.parametrize("find", [True, False])
def test_a_prior_with_the_pixels_of_the_current_study_is_told(make_dicom, find):
    now, old = make_dicom("s/a.dcm"), make_dicom("s/b.dcm", StudyDate="20230101", StudyInstanceUID="1.9")
    study = Study.from_dicom(now.parent, find_prior=True) if find else Study.from_dicom(now, prior=old)
    assert study.slots == (Slot.FRONTAL, Slot.PRIOR_FRONTAL)
    assert f"prior_frontal: {SAME_PICTURE}" in study.read_notes(study.slots)
    assert not any(SAME_PICTURE in note for note in Study.from_dicom(now).read_notes([Slot.FRONTAL]))


def test_files_without_a_study_uid_are_one_study_only_of_one_day_and_told(make_dicom):
    lateral = {"ViewPosition": "LL", "StudyInstanceUID": ""}
    frontal = make_dicom("s/a.dcm", StudyInstanceUID="")
    make_dicom("s/b.dcm", StudyDate="20200101", **lateral)
    with pytest.raises(StudyError, match="different StudyDates"):
        Study.from_dicom(frontal.parent)
    make_dicom("s/b.dcm", **lateral)
    study = Study.from_dicom(frontal.parent)
    assert f"lateral: {NO_UID}" in study.read_notes(study.slots)
    assert Study.from_dicom(frontal).radiographs[Slot.FRONTAL].notices == ()


def test_images_of_one_study_of_several_days_are_told(make_dicom):
    frontal = make_dicom("s/a.dcm")
    make_dicom("s/b.dcm", ViewPosition="LL", StudyDate="20200101")
    study = Study.from_dicom(frontal.parent)
    assert f"lateral: {SEVERAL_DAYS}" in study.read_notes(study.slots)


def test_without_patient_ids_names_tell_patients_apart(make_dicom):
    frontal = make_dicom("s/a.dcm", PatientID="", PatientName="QUIXLEY^ZORA")
    make_dicom("s/b.dcm", ViewPosition="LL", PatientID="", PatientName="Quixley, Zora ")
    assert Study.from_dicom(frontal.parent).slots == (Slot.FRONTAL, Slot.LATERAL)
    make_dicom("s/b.dcm", ViewPosition="LL", PatientID="", PatientName="")
    assert Study.from_dicom(frontal.parent).slots == (Slot.FRONTAL, Slot.LATERAL)
    make_dicom("s/b.dcm", ViewPosition="LL", PatientID="", PatientName="QUIXLEY^ANN")
    with pytest.raises(StudyError, match="PatientName elements differ"):
        Study.from_dicom(frontal.parent)
