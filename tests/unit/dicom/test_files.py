"""Files of a study: folders, DICOMDIR media and zip archives, under bounds."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fuzz.seeds import chest_header, save
from PIL import Image
from pydicom import Dataset, FileMetaDataset, uid

from alta_sdk import DicomError, Slot, Study, StudyError
from alta_sdk.dicom import archives, study_file
from alta_sdk.dicom import files as study_files
from alta_sdk.dicom.files import read_files
from alta_sdk.dicom.study_file import HEAD_BYTES
from alta_sdk.study.study import load_study

PIXELS = (np.arange(64 * 64).reshape(64, 64) % 4096).astype(np.uint16)
TINY = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / "TINY_ALPHA"


def write_medium(folder, file_ids, *, names=None, kind="IMAGE"):
    """Write images, by default where their file IDs say, and the DICOMDIR that lists them."""
    for name in names or ["/".join(file_id) for file_id in file_ids]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(chest_header(PIXELS)))
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = uid.MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.FileSetID = "MEDIUM"
    directory.DirectoryRecordSequence = [Dataset()]
    directory.DirectoryRecordSequence[0].DirectoryRecordType = "PATIENT"
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = kind, file_id
        directory.DirectoryRecordSequence.append(record)
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def test_a_dicomdir_stands_for_the_images_that_it_lists(tmp_path):
    path = write_medium(tmp_path, [["IMAGES", "IM1"]])
    (tmp_path / "IMAGES" / "IM2").write_bytes(b"not listed")
    expected = Study.from_dicom(tmp_path / "IMAGES" / "IM1").radiographs[Slot.FRONTAL].pixels_u8
    for source in (path, tmp_path):  # in a folder it is one of the files, and no image
        np.testing.assert_array_equal(Study.from_dicom(source).radiographs[Slot.FRONTAL].pixels_u8, expected)


def test_a_medium_copied_in_lower_case_is_read(tmp_path):
    path = write_medium(tmp_path, [["IMAGES", "IM1"]], names=["images/im1"])
    assert len(read_files(path).files) == 1


def test_a_dicomdir_that_pydicom_ships_lists_all_of_its_images():
    assert len(read_files(TINY / "DICOMDIR").files) == sum(1 for path in TINY.rglob("IM*") if path.is_file()) == 50


@pytest.mark.parametrize("file_id", [["..", "IM1"], ["IMAGES", "..", "..", "IM1"], ["/etc", "passwd"], ["LINK", "IM1"]])
def test_a_file_id_does_not_lead_out_of_the_medium(file_id, tmp_path):
    (tmp_path / "IM1").write_bytes(save(chest_header(PIXELS)))
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "IMAGES").mkdir()
    (medium / "LINK").symlink_to(tmp_path)
    path = write_medium(medium, [])
    listed = pydicom.dcmread(path)
    record = Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", file_id
    listed.DirectoryRecordSequence.append(record)
    listed.save_as(path)
    with pytest.raises(StudyError, match="1 of 1 images that are not beside it"):
        read_files(path)


def test_a_dicomdir_without_images_or_with_missing_ones_is_named(tmp_path):
    with pytest.raises(StudyError, match="lists no image"):
        read_files(write_medium(tmp_path, [["REPORT"]], kind="SR DOCUMENT"))
    path = write_medium(tmp_path, [["IM1"], ["IM2"]])
    (tmp_path / "IM2").unlink()
    with pytest.raises(StudyError, match="1 of 2 images that are not beside it"):
        read_files(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DicomError, match="damaged"):
        read_files(path)


def test_of_a_folders_other_files_only_the_head_is_read(tmp_path):
    (tmp_path / "film.mp4").write_bytes(bytes(100_000))
    (tmp_path / "image.dcm").write_bytes(save(chest_header(PIXELS)))
    assert [file.size for file in read_files(tmp_path).files] == [HEAD_BYTES, (tmp_path / "image.dcm").stat().st_size]


def test_sizes_of_files_and_of_all_together_are_bounded(tmp_path, monkeypatch):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(save(chest_header(PIXELS)))
    monkeypatch.setattr(study_files, "MAX_STUDY_BYTES", 10_000)
    with pytest.raises(StudyError, match="more than 1000 files or"):
        read_files(tmp_path)
    monkeypatch.setattr(study_file, "MAX_FILE_BYTES", 2000)
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 2000)
    with pytest.raises(StudyError, match="a file of the study is larger than"):
        read_files(tmp_path)
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.dcm", "a.dcm")
    with pytest.raises(StudyError, match="a file of the archive is larger than"):
        read_files(tmp_path / "study.zip")


def test_a_zip_that_lies_or_is_damaged_is_named(tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", save(chest_header(PIXELS)))
    whole = path.read_bytes()
    for place in (60, len(whole) // 2):
        damaged = bytearray(whole)
        damaged[place : place + 20] = bytes(20)
        path.write_bytes(damaged)
        with pytest.raises(StudyError, match="zip archive cannot be read"):
            read_files(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.dcm", save(chest_header(PIXELS)))
    with pytest.raises(StudyError, match="only stored and deflated"):
        read_files(path)


def test_a_zip_of_a_medium_is_read(tmp_path):
    medium = tmp_path / "medium"
    medium.mkdir()
    write_medium(medium, [["IMAGES", "IM1"]])
    with zipfile.ZipFile(tmp_path / "medium.zip", "w") as archive:
        for file in sorted(path for path in medium.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(medium))
    assert Study.from_dicom(tmp_path / "medium.zip").slots == (Slot.FRONTAL,)


def test_a_dicom_file_with_an_archive_behind_it_is_that_file(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("a.dcm", save(chest_header(PIXELS[::-1].copy())))
    path = tmp_path / "image.dcm"
    path.write_bytes(save(chest_header(PIXELS)))
    expected = load_study(path).radiographs[Slot.FRONTAL].grey_u8
    path.write_bytes(path.read_bytes() + archive.getvalue())
    assert zipfile.is_zipfile(path)
    np.testing.assert_array_equal(load_study(path).radiographs[Slot.FRONTAL].grey_u8, expected)


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_a_picture_with_an_archive_behind_it_is_that_picture(name, tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    picture, archive = io.BytesIO(), io.BytesIO()
    Image.fromarray(grey).save(picture, format=name)
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("a.dcm", save(chest_header(PIXELS)))
    path = tmp_path / "picture"
    path.write_bytes(picture.getvalue() + archive.getvalue())
    assert zipfile.is_zipfile(path)
    expected = Study.from_images(np.array(Image.open(picture))).radiographs[Slot.FRONTAL].grey_u8
    for study in (load_study(path), Study.from_images(path)):
        np.testing.assert_array_equal(study.radiographs[Slot.FRONTAL].grey_u8, expected)


@pytest.mark.parametrize("shift", [0, 40])
def test_members_that_share_bytes_are_refused(shift, tmp_path):
    """Of one local member a thousand entries, or one that begins within another."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", save(chest_header(PIXELS)))
    whole = data.getvalue()
    contents, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    entry = whole[contents:end]
    again = entry[:42] + shift.to_bytes(4, "little") + entry[46:]
    table = entry + again * (999 if shift == 0 else 1)
    count = (len(table) // len(entry)).to_bytes(2, "little")
    closing = whole[end : end + 8] + count + count + len(table).to_bytes(4, "little") + whole[end + 16 :]
    (tmp_path / "s.zip").write_bytes(whole[:contents] + table + closing)
    with pytest.raises(StudyError, match="share the same bytes"):
        Study.from_dicom(tmp_path / "s.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_every_form_of_writer_share_nothing(method, tmp_path):
    class Unseekable(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise OSError

        def tell(self):
            raise OSError

    for form in (io.BytesIO, Unseekable):  # the latter has descriptors behind the members
        out = form()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("a/", b"")
            archive.writestr("a/empty", b"note")
            archive.writestr("a/1.dcm", save(chest_header(PIXELS)))
        (tmp_path / "s.zip").write_bytes(out.getvalue())
        assert Study.from_dicom(tmp_path / "s.zip").slots == (Slot.FRONTAL,)
