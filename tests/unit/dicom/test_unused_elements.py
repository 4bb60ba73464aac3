"""An element that nothing here asks for may hold what it likes; one that is used refuses only where it is needed."""

import ast
import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from fuzz.seeds import chest_header, save
from pydicom import Dataset, uid
from pydicom.datadict import tag_for_keyword

import alta_sdk.dicom
from alta_sdk import DicomError, Slot, Study
from alta_sdk.dicom import elements
from alta_sdk.dicom.image import decode_grey, read_image
from alta_sdk.dicom.intensity import VOI, GreyOptions

PIXELS = (np.arange(64 * 48).reshape(64, 48) % 4096).astype(np.uint16)
EXPECTED = decode_grey(read_image(save(chest_header(PIXELS))), GreyOptions())


def insert(data, tag, vr, value):
    """Put an element of raw bytes where it belongs in an explicit little-endian file, before its first later tag."""
    group, number = tag >> 16, tag & 0xFFFF
    long = vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF")
    length = b"\0\0" + struct.pack("<I", len(value)) if long else struct.pack("<H", len(value))
    element = struct.pack("<HH", group, number) + vr + length + value
    place = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    while place < len(data):
        at, which, code = struct.unpack("<HH2s", data[place : place + 6])
        if (at, which) >= (group, number):
            break
        wide = code in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF")
        size = struct.unpack("<I", data[place + 8 : place + 12]) if wide else struct.unpack("<H", data[place + 6 :][:2])
        place += (12 if wide else 8) + size[0]
    return data[:place] + element + data[place:]


def test_a_private_element_of_a_wrong_length_is_passed_over(shared_case):
    folder = shared_case("private-element-of-wrong-length")
    radiograph = Study.from_dicom(folder / "private.dcm").radiographs[Slot.FRONTAL]
    with np.load(folder / "right.npz") as right:
        np.testing.assert_array_equal(radiograph.grey_u8, right["grey"])


def test_no_frame_is_one_frame(shared_case):
    folder = shared_case("number-of-frames-zero")
    radiograph = Study.from_dicom(folder / "frames0.dcm").radiographs[Slot.FRONTAL]
    with np.load(folder / "right.npz") as right:
        np.testing.assert_array_equal(radiograph.grey_u8, right["grey"])
    assert radiograph.notices == ()


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless])
@pytest.mark.parametrize("frames", ["0", "", "00"])
def test_no_frame_is_one_frame_in_every_coding(syntax, frames):
    header = chest_header(PIXELS)
    if syntax.is_compressed:
        header.compress(syntax, generate_instance_uid=False)
    header.NumberOfFrames = frames
    np.testing.assert_array_equal(decode_grey(read_image(save(header)), GreyOptions()), EXPECTED)


@pytest.mark.parametrize("blanks", [b"  ", b"    "])
def test_a_number_of_frames_of_blanks_is_not_stated(blanks):
    data = insert(save(chest_header(PIXELS)), 0x00280008, b"IS", blanks)
    np.testing.assert_array_equal(decode_grey(read_image(data), GreyOptions()), EXPECTED)


def test_frames_below_none_are_refused():
    with pytest.raises(DicomError, match="NumberOfFrames is missing or too small"):
        decode_grey(read_image(save(chest_header(PIXELS, NumberOfFrames="-1"))), GreyOptions())


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00181150, b"IS", b"many"),  # ExposureTime
        (0x00181164, b"DS", b"0.1\\x "),  # ImagerPixelSpacing
        (0x00181405, b"IS", b"1e99"),  # RelativeXRayExposure
        (0x00186000, b"DS", b"\xff\xfe\xfd\xfc"),  # Sensitivity
        (0x00280034, b"IS", b"1\\two "),  # PixelAspectRatio
        (0x00181411, b"DS", b"-"),  # ExposureIndex
        (0x00280106, b"US", b"123"),  # SmallestImagePixelValue, of three bytes
        (0x00189073, b"FD", b"0.264 "),  # AcquisitionDuration, as text
        (0x00400275, b"SQ", b"no items"),  # RequestAttributesSequence
        (0x00081140, b"LO", b"no items"),  # ReferencedImageSequence
        (0x00091001, b"FL", b"12345 "),  # private
        (0x00091002, b"ZZ", b"no such VR"),  # private
        (0x00081030, b"LO", b"\x1b$)C\xff\xff"),  # StudyDescription, in a character set that it does not name
    ],
)
def test_what_nothing_here_asks_for_may_be_malformed(tag, vr, value):
    np.testing.assert_array_equal(
        decode_grey(read_image(insert(save(chest_header(PIXELS)), tag, vr, value)), GreyOptions()), EXPECTED
    )


@pytest.mark.parametrize("keyword", elements.NOT_DECIDING)
@pytest.mark.parametrize(
    ("vr", "value"),
    [
        (b"US", b"123"),
        (b"DS", b"x1"),
        (b"IS", b"1e99"),
        (b"SQ", b"no items"),
        (b"SQ", b""),
        (b"FD", b"0.264 "),
        (b"AT", b"12345"),
        (b"OB", b"PA"),
        (b"ZZ", b"no such VR"),
        (b"UT", b"PA " * 10_000),
        (b"UT", b"PA " * 3_000_000),
        (b"LO", b"\\" * 20_000),
        (b"UN", b"\xff\xfe\xfd"),
    ],
)
def test_what_only_orders_or_describes_is_not_stated_where_it_is_malformed(keyword, vr, value):
    header = chest_header(PIXELS)
    if keyword in header:
        del header[keyword]
    stated = read_image(save(header))
    image = read_image(insert(save(header), tag_for_keyword(keyword), vr, value))
    np.testing.assert_array_equal(decode_grey(image, GreyOptions()), EXPECTED)
    for name in ("keys", "finding", "lie", "traits", "body_part_refusal"):
        assert getattr(image, name) == getattr(stated, name)


def test_what_only_orders_or_describes_is_read_where_it_is_not_malformed():
    header = chest_header(PIXELS, ImageType=["DERIVED", "PRIMARY"], StudyTime="0800", PatientOrientation=["R", "F"])
    header.SeriesDescription, header.LossyImageCompression, header.TimezoneOffsetFromUTC = "lat", "01", "+0100"
    del header.ViewPosition
    image = read_image(save(header))
    assert image.traits.is_derived and image.traits.is_compressed_with_loss and image.lie.directions == ("R", "F")
    assert str(image.finding.view) == "lateral" and image.keys.utc_offset.seconds == 3600
    assert image.keys.study_time.seconds == 8 * 3600


def test_what_one_profile_uses_refuses_that_profile_alone():
    image = read_image(insert(save(chest_header(PIXELS, WindowWidth=100)), 0x00281050, b"DS", b"middle"))
    np.testing.assert_array_equal(decode_grey(image, GreyOptions()), EXPECTED)
    with pytest.raises(DicomError, match="WindowCenter is not a number"):
        decode_grey(image, GreyOptions(VOI))


@pytest.mark.parametrize(("tag", "vr"), [(0x00281052, b"DS"), (0x00281053, b"DS"), (0x00283000, b"LO")])
def test_display_elements_of_another_kind_do_not_block_a_profile_without_them(tag, vr):
    image = read_image(insert(save(chest_header(PIXELS)), tag, vr, b"x1"))
    np.testing.assert_array_equal(decode_grey(image, GreyOptions()), EXPECTED)
    with pytest.raises(DicomError):
        decode_grey(image, GreyOptions(VOI))


def test_a_malformed_element_of_a_used_items_neighbour_is_passed_over():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399348003", "SCT", "postero-anterior"
    code.add_new(0x0040A30A, "DS", "1.0 ")  # NumericValue
    header = chest_header(PIXELS, ViewCodeSequence=[code])
    del header.ViewPosition
    data = save(header)
    assert data.count(b"1.0 ") == 1
    image = read_image(data.replace(b"1.0 ", b"high"))
    assert (str(image.finding.view), image.finding.source) == ("frontal", "ViewCodeSequence")


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "ViewCodeSequence", "AnatomicRegionSequence"])
def test_what_decides_is_refused_if_it_is_malformed(keyword):
    header = chest_header(PIXELS)
    if keyword in header:
        del header[keyword]
    data = insert(save(header), tag_for_keyword(keyword), b"DS", b"x1")
    with pytest.raises(DicomError, match="damaged"):
        decode_grey(read_image(data), GreyOptions())


def test_a_data_set_behind_a_dicom_file_does_not_replace_it():
    first, second = save(chest_header(PIXELS)), save(chest_header(PIXELS[::-1].copy(), PatientID="OTHER"))
    image = read_image(first + second)  # a whole file, with its preamble
    assert image.keys.patient_id == "ID-QX7741"
    np.testing.assert_array_equal(decode_grey(image, GreyOptions()), EXPECTED)
    with contextlib.suppress(DicomError):  # a bare data set: the first one, or refused
        assert read_image(first + second[132:]).keys.patient_id == "ID-QX7741"


def test_the_list_of_elements_is_what_the_room_asks_for():
    """Whoever reads another element adds it to the list: it would be taken as absent where it is malformed."""
    named = set()
    for path in Path(alta_sdk.dicom.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in prose]
        words = {word for node in texts if isinstance(node.value, str) for word in node.value.split()}
        if path.name != "secondary_capture.py":  # which writes
            named |= {word for word in words if (tag_for_keyword(word) or 0) >> 16 > 2}
    named -= {"Date", "Time"}  # ends of names that are put together
    assert named == set(elements.READ) | set(elements.READ_OF_ITEMS) and set(elements.NEEDED_LATER) <= named
