"""An element that comes twice is refused where it is read, whatever stands between: nobody can tell which was meant."""

import struct
import zlib

import numpy as np
import pytest
from fuzz.seeds import chest_header, save
from pydicom import uid

from alta_sdk import DicomError
from alta_sdk.dicom.image import read_image

PIXELS = (np.arange(64 * 48).reshape(64, 48) % 4096).astype(np.uint16)


def element(tag, vr, value):
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<H", len(value)) + value


def implicit(tag, value):
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def repeat(data, first, second, *, at=None):
    """Put a second one of an element behind the first, or before other bytes."""
    assert data.count(first) == 1
    place = data.index(first) + len(first) if at is None else data.index(at)
    return data[:place] + second + data[place:]


VIEW = 0x00185101
ROWS = b"\x28\0\x10\0"


@pytest.mark.parametrize("at", [None, ROWS])
@pytest.mark.parametrize(
    ("tag", "vr", "one", "two"),
    [
        (VIEW, b"CS", b"PA", b"LL"),
        (VIEW, b"CS", b"PA", b"PA"),
        (VIEW, b"CS", b"PA", b""),
        (0x00180015, b"CS", b"CHEST ", b"KNEE"),
        (0x00081030, b"LO", b"", b"PA"),
        (0x00081030, b"LO", b"", b""),
    ],
)
def test_an_element_that_comes_twice_is_refused(tag, vr, one, two, at):
    header = chest_header(PIXELS)
    header.add_new(tag, vr.decode(), one.decode().strip())
    with pytest.raises(DicomError, match="twice"):
        read_image(repeat(save(header), element(tag, vr, one), element(tag, vr, two), at=at))


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_an_element_that_comes_twice_is_refused_in_every_coding(syntax):
    header = chest_header(PIXELS, ViewPosition="PA")
    header.file_meta.TransferSyntaxUID = syntax
    one = implicit(VIEW, b"PA") if syntax.is_implicit_VR else struct.pack(">HH2sH", 0x0018, 0x5101, b"CS", 2) + b"PA"
    data = save(header)
    read_image(data)
    with pytest.raises(DicomError, match="twice"):
        read_image(repeat(data, one, one[:-2] + b"LL"))


def test_an_element_that_comes_twice_is_refused_without_preamble_and_deflated():
    data = save(chest_header(PIXELS, ViewPosition="PA"))
    twice = repeat(data, element(VIEW, b"CS", b"PA"), element(VIEW, b"CS", b"LL"))
    bare = 132 + 12 + struct.unpack("<I", data[140:144])[0]
    forms = [lambda whole: whole[128:], lambda whole: whole[bare:], lambda whole: _deflate(whole, bare)]
    for form in forms:
        read_image(form(data))
        with pytest.raises(DicomError, match="twice"):
            read_image(form(twice))


def _deflate(whole, start):
    old, new = (str(one).encode() for one in (uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian))
    meta = whole[:start].replace(b"\x14\x00" + old + b"\0", b"\x16\x00" + new)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return meta + packer.compress(whole[start:]) + packer.flush()


def test_a_transfer_syntax_that_comes_twice_is_refused():
    one = element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")
    with pytest.raises(DicomError, match="twice"):
        read_image(repeat(save(chest_header(PIXELS)), one, element(0x00020010, b"UI", b"1.2.840.10008.1.2.4.90")))


END_OF_ITEM, END_OF_SEQUENCE = (struct.pack("<HHI", 0xFFFE, number, 0) for number in (0xE00D, 0xE0DD))
CODE = [(0x00080100, b"SH", b"399348003 "), (0x00080102, b"SH", b"SCT "), (0x00080104, b"LO", b"ap")]
INNER = [(0x00080104, b"LO", b"erect ")]


def sequence(tag, elements, *, is_implicit, has_length):
    value = b"".join(implicit(one, text) if is_implicit else element(one, vr, text) for one, vr, text in elements)
    if has_length:
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
    else:
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + value + END_OF_ITEM + END_OF_SEQUENCE
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + (b"" if is_implicit else b"SQ\0\0")
    return head + struct.pack("<I", len(item) if has_length else 0xFFFFFFFF) + item


@pytest.mark.parametrize("has_length", [False, True])
@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize(
    "elements",
    [
        [CODE[0], (0x00080100, b"SH", b"399067008 "), *CODE[1:]],
        [*CODE[:2], (0x00080100, b"SH", b"399067008 "), CODE[2]],
        [*CODE, (0x00080104, b"LO", b"lateral ")],
        [CODE[0], *CODE],
        [*CODE, *CODE],
        [CODE[0], (0x00080102, b"SH", b""), *CODE[1:]],
        [CODE[0], CODE[1], (0x00080102, b"SH", b""), CODE[2]],
        [CODE[2], CODE[2]],
    ],
)
def test_an_element_of_an_item_that_comes_twice_is_refused(elements, is_implicit, has_length):
    header = chest_header(PIXELS)
    del header.ViewPosition
    if is_implicit:
        header.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    data, form = save(header), {"is_implicit": is_implicit, "has_length": has_length}
    pixels = data.rindex(b"\xe0\x7f\x10\0")

    def read(items):
        return read_image(data[:pixels] + sequence(0x00540220, items, **form) + data[pixels:])

    assert str(read(CODE).finding.view) == "frontal"
    assert str(read(CODE[::-1]).finding.view) == "frontal"  # out of order, and each is there once
    with pytest.raises(DicomError, match="twice"):
        read(elements)


@pytest.mark.parametrize("has_length", [False, True])
def test_an_element_of_an_item_of_an_item_that_comes_twice_is_refused(has_length):
    data = save(chest_header(PIXELS))
    pixels = data.rindex(b"\xe0\x7f\x10\0")

    def read(inner):
        modifiers = sequence(0x00540222, inner, is_implicit=False, has_length=has_length)
        value = b"".join(element(*one) for one in CODE) + modifiers
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value
        head = struct.pack("<HH", 0x0054, 0x0220) + b"SQ\0\0" + struct.pack("<I", len(item))
        return read_image(data[:pixels] + head + item + data[pixels:])

    read(INNER)
    with pytest.raises(DicomError, match="twice"):
        read([*INNER, (0x00080104, b"LO", b"oblique ")])


def test_an_element_that_nothing_asks_for_may_come_twice():
    private = element(0x00190010, b"LO", b"A ") + element(0x00190010, b"LO", b"B ")
    data = save(chest_header(PIXELS))
    place = data.index(ROWS)
    assert read_image(data[:place] + private + data[place:]).keys.patient_id == "ID-QX7741"
