"""What a network listener holds: bytes, open files and data sets are read as the files that they would be."""

import copy
import gzip
import io
import tempfile
import zipfile
import zlib

import numpy as np
import pydicom
import pytest
from fuzz.seeds import chest_header, deflate, save
from PIL import Image
from pydicom import Dataset, uid
from pydicom.filereader import read_dataset

from alta_sdk import DicomError, Slot, Study, StudyError
from alta_sdk.study.study import load_study

PIXELS = (np.arange(64 * 48).reshape(64, 48) * 5 % 4096).astype(np.uint16)


def grey_of(study, slot=Slot.FRONTAL):
    return study.radiographs[slot].grey_u8


@pytest.fixture
def path(make_dicom):
    return make_dicom(PatientName="DOE^JANE")


@pytest.mark.parametrize("read", [Study.from_dicom, load_study])
def test_bytes_open_files_and_data_sets_give_the_study_of_the_file(read, path):
    expected = grey_of(read(path))
    data = path.read_bytes()
    spooled = tempfile.SpooledTemporaryFile()
    spooled.write(data)
    spooled.seek(0)
    with path.open("rb") as opened, spooled:
        forms = [data, bytearray(data), memoryview(data), io.BytesIO(data), opened, spooled, pydicom.dcmread(path)]
        for form in forms:
            np.testing.assert_array_equal(grey_of(read(form)), expected)
        assert not opened.closed
    for form in (data, io.BytesIO(data), pydicom.dcmread(path)):
        np.testing.assert_array_equal(grey_of(read([form])), expected)
    assert grey_of(Study.from_dicom(iter([data]))).shape == expected.shape


def test_a_list_is_a_study_and_a_prior_may_be_held_too(make_dicom):
    paths = [make_dicom("a.dcm", ViewPosition="LL"), make_dicom("b.dcm")]
    prior = make_dicom("c.dcm", StudyDate="20230101", StudyInstanceUID="1.2.9")
    expected = Study.from_dicom(paths, prior=prior)
    assert expected.slots == (Slot.FRONTAL, Slot.LATERAL, Slot.PRIOR_FRONTAL)
    for forms in (
        [one.read_bytes() for one in (*paths, prior)],
        [io.BytesIO(one.read_bytes()) for one in (*paths, prior)],
        [pydicom.dcmread(one) for one in (*paths, prior)],
        [paths[0], paths[1].read_bytes(), pydicom.dcmread(prior)],
    ):
        study = load_study(forms[:2], prior=forms[2])
        assert study.explain() == expected.explain()
        for slot in study.slots:
            np.testing.assert_array_equal(grey_of(study, slot), grey_of(expected, slot))


def test_bytes_may_be_a_picture_or_an_archive(path):
    grey = np.random.default_rng(1).integers(0, 256, (64, 60), dtype=np.uint8)
    picture, archive = io.BytesIO(), io.BytesIO()
    Image.fromarray(grey).save(picture, "PNG")
    with zipfile.ZipFile(archive, "w") as members:
        members.write(path, "a.dcm")
    np.testing.assert_array_equal(grey_of(load_study(picture.getvalue())), grey)
    picture.seek(0)
    np.testing.assert_array_equal(grey_of(load_study(picture)), grey)
    np.testing.assert_array_equal(grey_of(load_study(picture.getvalue() + archive.getvalue())), grey)
    np.testing.assert_array_equal(grey_of(Study.from_dicom(archive.getvalue())), grey_of(Study.from_dicom(path)))
    with pytest.raises(StudyError, match="use Study.from_images"):
        load_study(picture.getvalue(), prior=path)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
    ],
)
def test_data_sets_of_every_coding_are_read_and_left_as_they_are(syntax):
    header = chest_header(PIXELS)
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        data = deflate(header)
    else:
        if syntax.is_compressed:
            header.compress(syntax, generate_instance_uid=False)
        else:
            header.PixelData = PIXELS.astype("<u2" if syntax.is_little_endian else ">u2").tobytes()
            header.file_meta.TransferSyntaxUID = syntax
        data = save(header)
    expected = grey_of(Study.from_dicom(data))
    read = pydicom.dcmread(io.BytesIO(data))
    for dataset in (header, read):
        before = copy.deepcopy(dataset)
        np.testing.assert_array_equal(grey_of(Study.from_dicom(dataset)), expected)
        assert dataset == before and dataset.file_meta == before.file_meta
        assert dataset.pixel_array.shape == PIXELS.shape


@pytest.mark.parametrize("is_implicit", [True, False])
def test_a_data_set_without_file_meta_is_read_as_it_was_encoded(is_implicit):
    """As the listener of a network library hands it over, until its file meta information is set."""
    out = io.BytesIO()
    pydicom.dcmwrite(out, chest_header(PIXELS), implicit_vr=is_implicit, little_endian=True, force_encoding=True)
    data = out.getvalue()
    bare = io.BytesIO(data[data.index(b"\x08\0\x16\0") :])
    received = read_dataset(bare, is_implicit_VR=is_implicit, is_little_endian=True)
    np.testing.assert_array_equal(
        grey_of(Study.from_dicom(received)), grey_of(Study.from_dicom(save(chest_header(PIXELS))))
    )
    made = chest_header(PIXELS)
    del made.file_meta
    assert Study.from_dicom(made).slots == (Slot.FRONTAL,)


def test_compressed_pixels_without_a_transfer_syntax_are_refused_with_what_to_set():
    header = chest_header(PIXELS)
    header.compress(uid.RLELossless, generate_instance_uid=False)
    meta = header.file_meta
    del header.file_meta
    with pytest.raises(DicomError, match="set its file_meta"):
        Study.from_dicom(header)
    header.file_meta = meta
    assert Study.from_dicom(header).slots == (Slot.FRONTAL,)


def test_what_a_data_set_holds_beside_what_is_read_does_not_matter(shared_case):
    folder = shared_case("private-element-of-wrong-length")
    dataset = pydicom.dcmread(folder / "private.dcm")
    with np.load(folder / "right.npz") as right:
        np.testing.assert_array_equal(grey_of(Study.from_dicom(dataset)), right["grey"])
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399348003", "SCT", "postero-anterior"
    code.add_new(0x0040A30A, "DS", "1")
    code[0x0040A30A]._value = object()  # nothing that could be written
    header = chest_header(PIXELS, ViewCodeSequence=[code])
    del header.ViewPosition
    header.add_new(0x00091001, "OB", b"1")
    header[0x00091001]._value = object()
    assert Study.from_dicom(header).radiographs[Slot.FRONTAL].view_source == "ViewCodeSequence"


def test_what_is_no_study_is_refused_in_one_line(path, tmp_path):
    at_its_end = io.BytesIO(path.read_bytes())
    at_its_end.read()
    closed = io.BytesIO(b"x")
    closed.close()
    for source, message in [
        (b"", "empty"),
        (at_its_end, r"seek\(0\)"),
        (closed, "open it for reading"),
        (io.StringIO("text"), "binary mode"),
        (b"not a study", "not a DICOM file"),
        (Dataset(), "damaged"),
        (7, "is given as paths, bytes"),
        (None, "is given as paths, bytes"),
        ({"a": path}, "is given as paths, bytes"),
        ([path, 7], "is given as paths, bytes"),
        (np.zeros((4, 4)), "is given as paths, bytes"),
        ([], "study is empty"),
    ]:
        for read in (Study.from_dicom, load_study):
            with pytest.raises(StudyError, match=message) as caught:
                read(source)
            assert "\n" not in str(caught.value)


def test_a_data_set_that_cannot_be_encoded_is_an_error_without_its_values():
    header = chest_header(PIXELS)
    header["PatientID"]._value = object()
    with pytest.raises(DicomError, match="data set is damaged") as caught:
        Study.from_dicom(header)
    assert "QUIXLEY" not in str(caught.value)


class Reader:
    def __init__(self, read):
        self._read = read

    def read(self, size=-1):
        return self._read(size)


class ReadsAll:
    def read(self):
        return b""


def fail(error):
    def read(size):
        raise error

    return Reader(read)


def hold_gzip(data):
    return gzip.GzipFile(fileobj=io.BytesIO(data))


@pytest.mark.parametrize(
    "error", [KeyError("x"), EOFError(), zlib.error("x"), TypeError(), RuntimeError("x"), OSError()]
)
def test_whatever_an_open_file_raises_is_one_line(error):
    with pytest.raises(StudyError, match="file of the study cannot be read"):
        Study.from_dicom(fail(error))


def test_damaged_gzip_and_other_things_that_read_are_one_line(path):
    data = path.read_bytes()
    np.testing.assert_array_equal(
        grey_of(Study.from_dicom(hold_gzip(gzip.compress(data)))), grey_of(Study.from_dicom(data))
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("a", data)
    others = (hold_gzip(gzip.compress(data)[:-500]), hold_gzip(b"\x1f\x8b\x08" + bytes(200)), zipfile.ZipFile(archive))
    for thing in (*others, ReadsAll()):
        with pytest.raises(StudyError, match="file of the study cannot be read"):
            Study.from_dicom(thing)


def test_the_end_that_a_user_asks_for_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        Study.from_dicom(fail(KeyboardInterrupt()))
