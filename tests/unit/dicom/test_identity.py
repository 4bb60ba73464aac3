import zlib

import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom.dsutils import encode

from alta_sdk.dicom import identity
from alta_sdk.dicom.identity import InstanceIdentity, read_identity
from alta_sdk.errors import DicomError

WANTED = InstanceIdentity("1.2.840.10008.5.1.4.1.1.1", "1.2.3", "1.2.4", "1.2.5")


def make_dataset():
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = WANTED.sop_class, WANTED.sop_uid
    dataset.PatientName = "Secretperson"
    item = Dataset()
    item.CodeValue, item.StudyInstanceUID = "1", "9.9.9"
    dataset.AnatomicRegionSequence = Sequence([item])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = WANTED.study_uid, WANTED.series_uid
    dataset.Rows = 5
    return dataset


def encode_as(dataset, syntax):
    data = encode(dataset, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    if syntax != DeflatedExplicitVRLittleEndian:
        return data
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEG2000Lossless,
    ],
)
def test_uids_are_read_in_every_encoding(syntax):
    assert read_identity(encode_as(make_dataset(), syntax), syntax) == WANTED


def test_what_lies_behind_the_series_is_not_read():
    data = encode_as(make_dataset(), ExplicitVRLittleEndian)
    assert read_identity(data + b"\xff" * 100, ExplicitVRLittleEndian) == WANTED


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "1.2.x", "1" * 65, ["1.2", "1.3"], "1.2 3"])
def test_a_uid_that_is_none_is_refused(keyword, value):
    dataset = make_dataset()
    if value is None:
        del dataset[keyword]
    else:
        setattr(dataset, keyword, value)
    with pytest.raises(DicomError, match="does not say which object it is"):
        read_identity(encode_as(dataset, ExplicitVRLittleEndian), ExplicitVRLittleEndian)


def test_an_element_that_comes_twice_is_refused():
    data = encode_as(make_dataset(), ExplicitVRLittleEndian)
    with pytest.raises(DicomError, match="twice"):
        read_identity(data[:34] + data, ExplicitVRLittleEndian)


@pytest.mark.parametrize("data", [b"", b"\0", b"junk" * 50, b"\xff" * 5000, b"\0" * 5000])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_what_is_no_data_set_is_refused(data, syntax):
    with pytest.raises(DicomError):
        read_identity(data, syntax)


def test_a_cut_one_is_refused_wherever_it_is_cut():
    data = encode_as(make_dataset(), ExplicitVRLittleEndian)
    end = data.index(b"1.2.5") + 5
    for count in range(end):
        with pytest.raises(DicomError) as error:
            read_identity(data[:count], ExplicitVRLittleEndian)
        assert "Secretperson" not in str(error.value)


def test_a_deflated_one_is_inflated_no_further_than_its_header(monkeypatch):
    monkeypatch.setattr(identity, "_MAX_INFLATED_BYTES", 1 << 16)
    dataset = make_dataset()
    dataset.PixelData = bytes(1 << 22)
    dataset["PixelData"].VR = "OW"
    data = encode_as(dataset, DeflatedExplicitVRLittleEndian)
    assert read_identity(data, DeflatedExplicitVRLittleEndian) == WANTED


def test_a_value_longer_than_the_bound_before_the_series_is_refused():
    dataset = make_dataset()
    dataset.add_new(0x00100020, "UN", bytes(1 << 24))
    data = encode_as(dataset, ExplicitVRLittleEndian)
    assert read_identity(data, ExplicitVRLittleEndian) == WANTED  # skipped, not read
    many = data[:34] + bytes.fromhex("1000200055 4e0000 00000000".replace(" ", "")) * 200_000
    with pytest.raises(DicomError, match="more elements"):
        read_identity(many, ExplicitVRLittleEndian)
