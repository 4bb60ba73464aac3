"""Splitting a DICOM file: the data set stays as it came, and no file makes it read beyond its end."""

import contextlib

import pytest
from fakes.service_view import CR, JPEG_2000, UID
from fakes.stow import make_file
from hypothesis import given
from hypothesis import strategies as st

from alta_sdk.errors import DicomError
from alta_sdk.service.web.part10 import split_file


def test_a_file_is_split_into_what_it_says_and_its_data_set():
    found = split_file(make_file(b"\x08\x00\x05\x00anything"))
    assert (found.sop_class, found.sop_uid, found.syntax) == (CR, f"{UID}.1", JPEG_2000)
    assert found.dataset == b"\x08\x00\x05\x00anything"


def test_a_file_that_pydicom_wrote_is_split_where_pydicom_does(make_dicom):
    from pydicom import dcmread

    path = make_dicom()
    found = split_file(path.read_bytes())
    header = dcmread(path)
    assert found.sop_uid == header.SOPInstanceUID
    assert found.syntax == header.file_meta.TransferSyntaxUID
    assert path.read_bytes().endswith(found.dataset)
    assert len(path.read_bytes()) - len(found.dataset) == 144 + header.file_meta.FileMetaInformationGroupLength


@pytest.mark.parametrize("length", range(0, len(make_file()) - 5, 3))
def test_a_file_that_was_cut_is_refused(length):
    with pytest.raises(DicomError):
        split_file(make_file()[:length])


@pytest.mark.parametrize("changes", [{"sop_class": "1.2.x"}, {"syntax": ""}, {"sop_class": "1" * 65}])
def test_a_file_without_its_uids_is_refused(changes):
    with pytest.raises(DicomError, match="lacks a UID"):
        split_file(make_file(**changes))


@given(st.binary(max_size=300), st.integers(0, 300))
def test_whatever_comes_is_split_or_refused(noise, place):
    file = make_file(b"data" * 10)
    for data in (noise, bytes(128) + b"DICM" + noise, file[:place] + noise + file[place:], file[:place] + noise):
        with contextlib.suppress(DicomError):
            found = split_file(data)
            assert data.endswith(found.dataset) and found.dataset
