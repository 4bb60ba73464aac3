"""Headers, archives and folders that are larger than a study's: what is not read costs nothing, the rest is bounded."""

import ast
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz.seeds import chest_header, deflate, save
from pydicom.datadict import tag_for_keyword
from pydicom.uid import JPEG2000Lossless

import alta_sdk.dicom
from alta_sdk import DicomError, Slot, Study, StudyError
from alta_sdk.dicom import archives, bounded_file, files, pixel_element, study_file
from alta_sdk.dicom.elements import IDENTIFIERS, READ, READ_OF_ITEMS
from alta_sdk.dicom.files import read_files
from alta_sdk.dicom.image import decode_grey, read_image
from alta_sdk.dicom.intensity import GreyOptions
from alta_sdk.dicom.study_file import FileReader
from alta_sdk.study.examination import ReadOptions, read_examinations

PIXELS = (np.arange(64 * 48).reshape(64, 48) * 7 % 4096).astype(np.uint16)
WRITTEN = {"secondary_capture.py"}  # names elements that it writes


def insert(element, before=b"\x10\x00\x10\x00"):
    whole = save(chest_header(PIXELS))
    place = whole.index(before)
    return whole[:place] + element + whole[place:]


def element(tag, vr, value):
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    is_long = vr in (b"UC", b"UT", b"SQ", b"UN", b"OB", b"OW")
    return head + (b"\0\0" + struct.pack("<I", len(value)) if is_long else struct.pack("<H", len(value))) + value


def item(value):
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value


def endless(tag, items):
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"SQ\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def test_every_keyword_that_the_room_uses_is_read():
    used = set()
    for path in Path(alta_sdk.dicom.__file__).parent.glob("*.py"):
        if path.name not in WRITTEN:
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            used |= {text for text in texts if text.isidentifier() and tag_for_keyword(text) is not None}
    meta = {"TransferSyntaxUID", "MediaStorageSOPClassUID", "Date", "Time"}  # the last are ends of keywords
    pixels = {"PixelData", "FloatPixelData", "DoubleFloatPixelData"}
    assert used - meta - pixels <= set(READ) | set(READ_OF_ITEMS)
    assert set(IDENTIFIERS) <= set(READ)


@pytest.mark.parametrize(
    "extra",
    [
        element(0x00091010, b"UC", b"ab\\" * 1_000_000),
        b"".join(element(0x00091000 + number, b"DS", b"1\\" * 32_000) for number in range(20)),
        element(0x00081030, b"LO", b"") + element(0x00091001, b"UT", b"x" * 3_000_000),
        element(0x00081140, b"SQ", item(b"") * 200_000),
        element(0x00090010, b"DS", b"no number "),
    ],
)
def test_what_nobody_reads_costs_no_reads_and_cannot_be_malformed(extra):
    budget = bounded_file.ReadBudget()
    image = read_image(insert(extra), budget)
    np.testing.assert_array_equal(image.stored.data, read_image(save(chest_header(PIXELS))).stored.data)
    assert budget._left > bounded_file.MAX_READS - bounded_file.READS_PER_FILE


@pytest.mark.parametrize(
    "extra",
    [
        element(0x00080068, b"UC", b"ab\\" * 1_000_000),
        element(0x00080068, b"UC", b"ab\\" * 6_000_000),
        element(0x00080068, b"LO", b"a\\" * 20_000),
        endless(0x00091010, item(b"") * 200_000),
        endless(0x00082218, item(b"") * 200_000),
        element(0x00082218, b"SQ", item(element(0x00080100, b"SH", b"ab")) * 60_000),
        element(0x00082218, b"SQ", item(element(0x00080100, b"DS", b"1\\" * 4000)) * 400),
        endless(0x00091010, item(element(0x00080005, b"CS", b"a\\" * 60)) * 5000),
        endless(0x00091010, item(element(0x00080005, b"CS", b"a\\" * 500))),
        b"".join(struct.pack("<HH", 9 + 2 * (n >> 16), n & 0xFFFF) + b"LO\2\0ab" for n in range(300_000)),
        b"\x09\0\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000,
    ],
)
def test_what_has_to_be_parsed_is_bounded(extra):
    with pytest.raises(DicomError):
        read_image(insert(extra))


@pytest.mark.parametrize("kind", [b"CS", b"LO", b"UC", b"UT", b"UN", b"OB"])
@pytest.mark.parametrize("put", [lambda one: one, lambda one: endless(0x00091010, item(one))], ids=["top", "item"])
def test_character_sets_are_refused_before_each_is_looked_up(kind, put):
    """Of some of these kinds four bytes of length stand between head and value."""
    with pytest.raises(DicomError, match="names more character sets than there are"):
        read_image(insert(put(element(0x00080005, kind, b"\\" * 60_000))))


def test_files_of_one_study_share_what_one_may_cost(tmp_path):
    hostile = insert(endless(0x00091010, item(b"") * 15_000))
    read_image(hostile)  # one is read
    for number in range(4):
        (tmp_path / f"{number}.dcm").write_bytes(hostile)
    with pytest.raises(DicomError, match="file 2 of 4"):
        Study.from_dicom(tmp_path)
    reader = FileReader()
    reader.budget.take(bounded_file.MAX_READS)
    (tmp_path / "plain.dcm").write_bytes(save(chest_header(PIXELS)))
    assert reader.look(tmp_path / "plain.dcm").study_uid  # what others took does not keep a plain one out


@pytest.mark.parametrize("frames", [1, 3])
def test_of_more_pixels_than_the_bound_the_first_frame_is_read(frames, monkeypatch):
    options = {"NumberOfFrames": frames, "PixelData": np.stack([PIXELS] + [PIXELS * 0] * (frames - 1)).tobytes()}
    whole = save(chest_header(PIXELS, **options))
    expected = decode_grey(read_image(whole), GreyOptions())
    monkeypatch.setattr(pixel_element, "MAX_PIXEL_BYTES", PIXELS.nbytes)
    image = read_image(whole)
    assert len(image.stored.data) == PIXELS.nbytes and len(image.notices) == (frames > 1)
    np.testing.assert_array_equal(decode_grey(image, GreyOptions()), expected)
    if frames > 1:
        with pytest.raises(DicomError, match="damaged or truncated"):
            decode_grey(read_image(whole[:-2]), GreyOptions())


def test_compressed_pixels_beyond_the_bound_are_named_when_they_are_needed(monkeypatch):
    header = chest_header(PIXELS)
    header.compress(JPEG2000Lossless, generate_instance_uid=False)
    whole = save(header)
    monkeypatch.setattr(pixel_element, "MAX_PIXEL_BYTES", 100)
    image = read_image(whole)
    assert image.has_pixels
    with pytest.raises(DicomError, match="longer than"):
        decode_grey(image, GreyOptions())


def test_pixel_data_of_an_unknown_kind_are_refused():
    whole = save(chest_header(PIXELS))
    with pytest.raises(DicomError, match="damaged or truncated"):
        read_image(whole.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00ZZ"))


@pytest.mark.parametrize("is_packed", [False, True])
def test_pixels_beyond_what_is_held_stay_in_their_files(is_packed, tmp_path, monkeypatch):
    for number in range(3):
        pixels = np.roll(PIXELS, number, axis=1)
        header = chest_header(pixels, SOPInstanceUID=f"1.2.{number}", ViewPosition="LL" if number else "PA")
        (tmp_path / f"{number}.dcm").write_bytes(save(header))
    source = tmp_path
    if is_packed:
        source = tmp_path / "study.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(3):
                archive.write(tmp_path / f"{number}.dcm", f"{number}.dcm")
    expected = Study.from_dicom(source)
    monkeypatch.setattr(files, "MAX_HELD_BYTES", PIXELS.nbytes)
    found = read_files(source)
    assert [file.count_held_bytes() > 0 for file in found.files if file.is_dicom] == [True, False, False]
    assert len({file.size for file in found.files if file.is_dicom}) == 1
    study = Study.from_dicom(source)
    for slot in (Slot.FRONTAL, Slot.LATERAL):
        np.testing.assert_array_equal(study.radiographs[slot].grey_u8, expected.radiographs[slot].grey_u8)
    images, _ = read_examinations(found, ReadOptions(GreyOptions()))
    changed = source if is_packed else tmp_path / "1.dcm"
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(StudyError, match="changed while it was read"):
        decode_grey(images[0].images[1], GreyOptions())


@pytest.mark.parametrize("form", ["archive", "deflated"])
def test_pixels_beyond_the_bound_are_left_in_bytes_that_take_less(form, tmp_path, monkeypatch):
    views, study = ("PA", "LL", "AP"), []
    for number, view in enumerate(views):
        header = chest_header(PIXELS * 0 + number + 1, ViewPosition=view, SOPInstanceUID=f"1.2.{number}")
        header.PixelData = header.PixelData[:-4] + b"\0\1\0\2"
        study.append(save(header) if form == "archive" else deflate(header))
    source = study
    if form == "archive":
        with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number, data in enumerate(study):
                archive.writestr(f"{number}.dcm", data)
        source = (tmp_path / "study.zip").read_bytes()
    expected = Study.from_dicom(source, any_picture=True)
    monkeypatch.setattr(files, "MAX_HELD_BYTES", PIXELS.nbytes)
    assert [file.count_held_bytes() > 0 for file in read_files(source).files] == [True, False, False]
    assert Study.from_dicom(source, any_picture=True) == expected


def test_a_large_file_is_read_in_place(tmp_path, monkeypatch):
    path = tmp_path / "large.dcm"
    path.write_bytes(save(chest_header(PIXELS)))
    expected = read_files(path).files[0]
    monkeypatch.setattr(study_file, "MAX_WHOLE_BYTES", 2000)
    found = read_files(path).files[0]
    assert found.size == expected.size and found.read_study_uid() == expected.read_study_uid()
    np.testing.assert_array_equal(
        decode_grey(found.read_image(), GreyOptions()), decode_grey(expected.read_image(), GreyOptions())
    )
    header = chest_header(PIXELS)
    del header.StudyInstanceUID
    path.write_bytes(save(header))
    in_place = read_files(path).files[0].read_digest()
    monkeypatch.undo()
    assert in_place == read_files(path).files[0].read_digest()


def test_a_member_inflates_to_what_it_states_and_no_more(tmp_path, monkeypatch):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", save(chest_header(PIXELS)) + bytes(40 << 20))
    whole = bytearray(path.read_bytes())
    struct.pack_into("<I", whole, whole.index(b"PK\x01\x02") + 24, 5000)
    path.write_bytes(whole)
    with pytest.raises(StudyError, match="zip archive cannot be read"):
        read_files(path)
    for name, value, message in (("MAX_MEMBER_BYTES", 1 << 20, "a file of the archive"),):
        monkeypatch.setattr(archives, name, value)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", save(chest_header(PIXELS)) + bytes(2 << 20))
        with pytest.raises(StudyError, match=message):
            read_files(path)


def test_archives_of_too_many_members_or_bytes_are_named(tmp_path, monkeypatch):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1200):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    with pytest.raises(StudyError, match="more than 1000 files"):
        read_files(path)
    monkeypatch.setattr(archives, "MAX_CONTENTS_BYTES", 50_000)
    with pytest.raises(StudyError, match="lists more files than a study has"):
        read_files(path)
    monkeypatch.undo()
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.dcm", save(chest_header(PIXELS)))
    monkeypatch.setattr(files, "MAX_ARCHIVE_BYTES", 2 * len(save(chest_header(PIXELS))))
    with pytest.raises(StudyError, match="zip archive holds more than"):
        read_files(path)


def test_of_a_members_that_are_no_dicom_only_the_head_is_read(tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("film.mp4", bytes(3 << 20))
        archive.writestr("image.dcm", save(chest_header(PIXELS)))
    assert [len(file.data) for file in read_files(path).files] == [study_file.HEAD_BYTES, 0]


def test_folders_of_too_many_entries_are_named_before_a_file_is_read(tmp_path, monkeypatch):
    for number in range(1001):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(FileReader, "take", None)
    with pytest.raises(StudyError, match="more than 1000 files"):
        read_files(tmp_path)
    for number in range(1001):
        (tmp_path / str(number)).unlink()
        (tmp_path / str(number)).mkdir()
    (tmp_path / "a.dcm").touch()
    monkeypatch.setattr(files, "MAX_ENTRIES", 100)
    with pytest.raises(StudyError, match="more than 100 files and folders"):
        read_files(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_what_is_no_file_is_told_and_never_opened(tmp_path):
    (tmp_path / "a.dcm").write_bytes(save(chest_header(PIXELS)))
    os.mkfifo(tmp_path / "b.dcm")
    (tmp_path / "c.dcm").symlink_to("/dev/zero")
    found = read_files(tmp_path)
    assert len(found.files) == 1 and found.special == 2 and not found.unread
    study = Study.from_dicom(tmp_path)
    assert {(one.why, one.is_unread) for one in study.set_aside} >= {("a pipe, socket or device", False)}
    for name in ("b.dcm", "c.dcm"):
        with pytest.raises(StudyError, match="a pipe, a socket or a device"):
            read_files(tmp_path / name)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere", "a link that leads nowhere"),
        ("/nowhere/at/all.dcm", "a link that leads nowhere"),
        ("b.dcm/c.dcm", "a link that leads nowhere"),
        ("link.dcm", "a link that leads to itself"),
        ("..", "a link to a folder above it"),
        ("/", "a link to a folder above it"),
    ],
)
@pytest.mark.parametrize("folder", ["", "deep/down"])
def test_a_link_behind_which_a_lateral_may_lie_is_told(target, reason, folder, tmp_path):
    study = tmp_path / "study"
    (study / folder).mkdir(parents=True)
    (study / "a.dcm").write_bytes(save(chest_header(PIXELS)))
    place = study / folder if not target.startswith("..") else study
    (place / "link.dcm").symlink_to(target)
    assert read_files(study).unread == (reason,)
    with pytest.raises(StudyError, match=rf"1 files or folders: {reason}.*--allow-incomplete") as caught:
        Study.from_dicom(study)
    assert str(tmp_path) not in str(caught.value)
    whole = Study.from_dicom(study, allow_incomplete=True)
    assert whole.slots == (Slot.FRONTAL,) and whole.read_notes([])


def test_what_links_to_folders_lead_to_is_read_once(tmp_path):
    study, other = tmp_path / "study", tmp_path / "other"
    (study / "sub").mkdir(parents=True), (other / "deep").mkdir(parents=True)
    (study / "sub" / "a.dcm").write_bytes(save(chest_header(PIXELS)))
    lateral = chest_header(PIXELS.T, ViewPosition="LL", SOPInstanceUID="1.2.3.4.5")
    (other / "deep" / "lateral.dcm").write_bytes(save(lateral))
    for name, target in (("1", other), ("2", other / "deep"), ("3", "1"), ("4", "."), ("5", "sub"), ("sub/6", "..")):
        (study / name).symlink_to(target)
    (other / "back").symlink_to(study)
    (other / "deep" / "again").symlink_to("..")
    found = read_files(study)
    assert len(found.files) == 2 and not found.unread and not found.special
    assert Study.from_dicom(study).slots == (Slot.FRONTAL, Slot.LATERAL)


def test_a_folder_of_links_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir(), (tmp_path / "many").mkdir()
    (tmp_path / "study" / "a.dcm").write_bytes(save(chest_header(PIXELS)))
    for number in range(30):
        (tmp_path / "many" / f"{number}").mkdir()
        (tmp_path / "study" / f"{number}").symlink_to(tmp_path / "many" / f"{number}")
        (tmp_path / "many" / f"{number}" / "next").symlink_to(tmp_path / "many" / f"{(number + 1) % 30}")
    assert len(read_files(tmp_path / "study").files) == 1
    monkeypatch.setattr(files, "MAX_ENTRIES", 40)
    with pytest.raises(StudyError, match="more than 40 files and folders"):
        read_files(tmp_path / "study")


def test_a_file_that_cannot_be_read_is_told_beside_others(tmp_path, monkeypatch):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(save(chest_header(PIXELS)))
    take = FileReader.take

    def fail(self, path):
        if path.name == "b.dcm":
            raise OSError(5, "Input/output error", str(path))
        return take(self, path)

    monkeypatch.setattr(FileReader, "take", fail)
    assert read_files(tmp_path).unread == ("Input/output error",)
    with pytest.raises(StudyError, match="1 files or folders: Input/output error"):
        Study.from_dicom(tmp_path)
    assert Study.from_dicom(tmp_path, allow_incomplete=True).read_notes([])


@pytest.mark.parametrize("form", ["archive", "deflated"])
def test_files_that_inflate_far_beyond_their_size_share_one_bound(tmp_path, monkeypatch, form):
    """Each within the bound of one file; a study of real ones, whose bytes explain what they become, is read whole."""
    monkeypatch.setattr(bounded_file, "MAX_UNEXPLAINED_BYTES", 5 << 20)
    study = tmp_path / "study"
    study.mkdir()
    whole = save(chest_header(PIXELS)) + bytes(2 << 20)
    packed = [deflate(chest_header(PIXELS), 2 << 20) for _ in range(8)]
    if form == "archive":
        with zipfile.ZipFile(study / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(8):
                archive.writestr(f"{number}.dcm", whole)
        with pytest.raises(DicomError, match="far larger than radiographs do when inflated"):
            read_files(study / "a.zip")
    else:
        for number, data in enumerate(packed):
            (study / f"{number}.dcm").write_bytes(data)
        found = [file.read_image for file in read_files(study).files]
        refused = 0
        for read in found:
            try:
                read()
            except DicomError as error:
                assert "when inflated" in str(error)
                refused += 1
        assert refused >= 4
    monkeypatch.setattr(bounded_file, "DEFLATED_TO", 4096)
    assert len(read_files(study / "a.zip" if form == "archive" else study).files) == 8
