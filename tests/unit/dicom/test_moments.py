"""Days and times of a header: what is no real one states nothing, and offsets from UTC are applied."""

from datetime import datetime, timedelta

import pytest
from pydicom import Dataset

from alta_sdk.dicom.moments import read_acquired, read_day, read_offset, read_study_day, read_time

NO_DAY = [
    "00000000",
    "99999999",
    "19000100",
    "20231399",
    "20230230",
    "20240101-20240102",
    "2024",
    "2024.0101",
    "٢٠٢٤٠١٠١",
]
PLACEHOLDERS = ["19000101", "00010101", "17530101", "99991231", "29991231", "99981231", "19010101", "19111111"]
PLACEHOLDERS += ["19500101", "19700101", "19800101", "20000101", "1970.01.01"]


@pytest.mark.parametrize("text", [*NO_DAY, *PLACEHOLDERS, "", "20240101\\20240102", "2024011"])
def test_no_day_of_a_radiograph(text):
    assert read_study_day(text) is None


@pytest.mark.parametrize("text", ["20240229", "2024.02.29", "2024-02-29", " 20240229 "])
def test_a_day_in_each_form(text):
    assert read_study_day(text) == read_day(text) == datetime(2024, 2, 29)


def test_a_birth_may_be_older_than_radiographs():
    assert read_day("18990131") == datetime(1899, 1, 31)


@pytest.mark.parametrize("text", ["24", "2460", "246000", "236061", "999999", "1", "091", "09.5", "0915.5", "ab", ""])
def test_no_time_of_day(text):
    assert read_time(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("09", 32400),
        ("0915", 33300),
        ("091530", 33330),
        ("09:15:30", 33330),
        ("091530.25", 33330.25),
        ("235960", 86400),
    ],
)
def test_a_time_in_each_form(text, seconds):
    assert read_time(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("+0100", 60), ("-0530", -330), ("+1400", 840), ("0100", None)]
    + [("+01:00", 60), (" -05:30 ", -330), ("+01", 60), ("Z", 0), ("UTC", 0), ("+1:00", None), ("CET", None)],
)
def test_an_offset(text, minutes):
    assert read_offset(text) == (None if minutes is None else timedelta(minutes=minutes))
    assert read_offset("+1500") is None
    assert read_offset("+0160") is None


AT_11 = (datetime(2024, 1, 2, 11), False)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"AcquisitionDateTime": "20240102101500+0100"}, (datetime(2024, 1, 2, 9, 15), True)),
        (
            {"AcquisitionDateTime": "20240102101500", "TimezoneOffsetFromUTC": "-0200"},
            (datetime(2024, 1, 2, 12, 15), True),
        ),
        ({"AcquisitionDateTime": "20240102101500"}, (datetime(2024, 1, 2, 10, 15), False)),
        ({"AcquisitionDateTime": "00000000", "AcquisitionTime": "11", "StudyDate": "20240102"}, AT_11),
        ({"AcquisitionTime": "999999", "ContentTime": "11", "ContentDate": "20240102"}, AT_11),
        ({"AcquisitionTime": "11", "AcquisitionDate": "00000000", "StudyDate": "20240102"}, AT_11),
        ({"AcquisitionDateTime": "99999999999999", "StudyDate": "20240102"}, None),
    ],
)
def test_when_an_image_was_acquired(elements, expected):
    header = Dataset()
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    moment = read_acquired(header)
    if expected is None:
        assert moment is None
        return
    start, has_offset = expected
    assert (moment.offset is not None) == has_offset
    assert moment.span(in_utc=has_offset) == (start, start)
