"""What may be left of an image is told apart from what lies beside images."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from fuzz.seeds import chest_header, save
from PIL import Image

from alta_sdk import Study, StudyError
from alta_sdk.dicom.lost_files import explain_loss

PIXELS = (np.mgrid[0:96, 0:80].sum(axis=0) * 20 % 4096).astype(np.uint16)
FRONTAL = save(chest_header(PIXELS))
LATERAL = save(chest_header(PIXELS, ViewPosition="LL", SOPInstanceUID="1.2.826.77.9"))


def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


LOST = {
    "lat.dcm": b"",
    "LAT.DCM": bytes(3000),
    "lat.dicom": b"\xff" * 3000,
    "lat.ima": FRONTAL[:100],
    "page.dcm": b"<html>404</html>",
    "lat.dcm.gz": gzip.compress(LATERAL),
    "lat.dcm.zst": b"\x28\xb5\x2f\xfd...",
    "lat.zip": zipped(lat__dcm=LATERAL),
    "lat.7z": bytes(40),
    "IM0002": b"",
    "IM0003": bytes(200),
    "1.2.840.113619.2.5": bytes(200),
    "1.2.840.113619.2.6": zipped(lat__dcm=LATERAL),
    "IM0004": b"\1\2\0\3" * 300,
}
BESIDE = {
    "README.txt": b"Viewer: start it.\n",
    "README": b"Viewer: start it.\n",
    "empty.txt": b"",
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "viewer.exe": b"MZ\x90\0\3\0",
    "viewer": b"\x7fELF\2\1\1\0\0",
    "preview.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "report.docx": zipped(word=b"x"),
    "report.pdf": b"%PDF-1.4\0",
    ".DS_Store": b"\0\0\0\1Bud1",
    "._lat.dcm": b"\0\5\x16\7" + bytes(100),
    "autorun.inf": b"[autorun]\r\n",
    "blank.png": bytes(50),
}


def in_every_form(contents):
    """A zip that is given as a file of its own is opened, and so is no loss."""
    forms = [(name, form) for name in contents for form in ("folder", "zip", "files")]
    return [one for one in forms if one[1] != "files" or not contents[one[0]].startswith(b"PK")]


@pytest.mark.parametrize(("name", "form"), in_every_form(LOST))
def test_what_may_be_left_of_an_image_is_refused_or_told(name, form, tmp_path):
    source = make_source(name, LOST[name], form, tmp_path)
    with pytest.raises(StudyError, match=r"part of the study cannot be read \(1 files or folders"):
        Study.from_dicom(source)
    study = Study.from_dicom(source, allow_incomplete=True)
    told = [note for note in study.read_notes(study.slots) if not note.startswith("frontal:")]
    assert told == ["1 files or folders of it could not be read and are missing"]
    assert len(study.set_aside) == 1


@pytest.mark.parametrize(("name", "form"), in_every_form(BESIDE))
def test_files_of_other_kinds_may_lie_beside_images(name, form, tmp_path):
    study = Study.from_dicom(make_source(name, BESIDE[name], form, tmp_path))
    assert not any("could not be read" in note for note in study.read_notes(study.slots))
    assert [item.why for item in study.set_aside] == ["not DICOM"]


def make_source(name, data, form, tmp_path):
    if form == "zip":
        (tmp_path / "s.zip").write_bytes(zipped(**{"a__dcm": FRONTAL, f"sub/{name}": data}))
        return tmp_path / "s.zip"
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.dcm").write_bytes(FRONTAL)
    (tmp_path / "s" / name).write_bytes(data)
    return sorted((tmp_path / "s").iterdir()) if form == "files" else tmp_path / "s"


def test_bytes_of_no_kind_in_a_list_are_refused():
    with pytest.raises(StudyError, match="a file of one value"):
        Study.from_dicom([FRONTAL, bytes(500)])


def test_zeros_that_begin_a_large_file_are_told_by_the_first_bytes():
    assert explain_loss("IM1", bytes(1024)) == "a file of one value, as broken copies leave"


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_folder_of_one_picture_says_what_to_give(form, tmp_path):
    out = io.BytesIO()
    Image.fromarray((PIXELS >> 4).astype(np.uint8)).save(out, "JPEG")
    if form == "folder":
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "a.jpg").write_bytes(out.getvalue())
    else:
        (tmp_path / "s").write_bytes(zipped(a__jpg=out.getvalue()))
    with pytest.raises(StudyError, match="give a JPEG or PNG file by itself"):
        Study.from_dicom(tmp_path / "s")
