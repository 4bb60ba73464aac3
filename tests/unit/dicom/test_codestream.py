"""The size that a codestream states: it must be the header's, in height and in width."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from fuzz.seeds import chest_header, save
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame

from alta_sdk import DicomError, Study
from alta_sdk.dicom.codestream import read_frame_header
from alta_sdk.dicom.image import read_image
from alta_sdk.dicom.pixels import decode_first_frame

ROWS, COLUMNS = 96, 80
STORED = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 7 % 4096).astype(np.uint16)
GREY = (STORED >> 4).astype(np.uint8)
COLOUR = np.stack([GREY, GREY, 255 - GREY], axis=2)
OTHER_SIZE = "another height or width"


def read_size(codestream):
    header = read_frame_header(codestream)
    return header and (header.height, header.width)


def pillow(pixels, name, **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **options)
    return out.getvalue()


def golden(name):
    with np.load(Path(__file__).parents[2] / "golden" / "codestreams.npz") as streams:
        return streams[name].tobytes()


def compressed(pixels, syntax):
    header = chest_header(pixels)
    header.compress(syntax, generate_instance_uid=False)
    return get_frame(header.PixelData, 0, number_of_frames=1)


CODESTREAMS = {
    "JPEG": lambda: (pillow(GREY, "JPEG"), uid.JPEGBaseline8Bit, GREY),
    "progressive JPEG": lambda: (pillow(GREY, "JPEG", progressive=True), uid.JPEGBaseline8Bit, GREY),
    "JPEG with a comment": lambda: (pillow(GREY, "JPEG", comment=b"\xff\xc0" * 9), uid.JPEGBaseline8Bit, GREY),
    "JPEG in colour": lambda: (pillow(COLOUR, "JPEG"), uid.JPEGBaseline8Bit, COLOUR),
    "JPEG extended": lambda: (pillow(GREY, "JPEG"), uid.JPEGExtended12Bit, GREY),
    "JPEG Lossless": lambda: (golden("jpeg_lossless"), uid.JPEGLosslessSV1, STORED),
    "JPEG Lossless, any predictor": lambda: (golden("jpeg_lossless"), uid.JPEGLossless, STORED),
    "JPEG-LS": lambda: (compressed(STORED, uid.JPEGLSLossless), uid.JPEGLSLossless, STORED),
    "JPEG-LS in colour": lambda: (compressed(COLOUR, uid.JPEGLSLossless), uid.JPEGLSLossless, COLOUR),
    "JPEG-LS with loss": lambda: (compressed(STORED, uid.JPEGLSLossless), uid.JPEGLSNearLossless, STORED),
    "JPEG 2000": lambda: (compressed(STORED, uid.JPEG2000Lossless), uid.JPEG2000Lossless, STORED),
    "JPEG 2000 in colour": lambda: (compressed(COLOUR, uid.JPEG2000Lossless), uid.JPEG2000, COLOUR),
    "JPEG 2000 in boxes": lambda: (pillow(GREY, "JPEG2000"), uid.JPEG2000, GREY),
    "HTJ2K": lambda: (golden("htj2k"), uid.HTJ2KLossless, STORED),
    "HTJ2K with loss": lambda: (golden("htj2k"), uid.HTJ2K, STORED),
}


def make_image(name, rows=ROWS, columns=COLUMNS, frames=1):
    codestream, syntax, pixels = CODESTREAMS[name]()
    header = chest_header(pixels, PixelData=encapsulate([codestream] * frames), Rows=rows, Columns=columns)
    if frames > 1:
        header.NumberOfFrames = frames
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = syntax
    return read_image(save(header))


def test_rows_and_columns_that_are_exchanged_are_refused(shared_case):
    with pytest.raises(DicomError, match=OTHER_SIZE):
        Study.from_dicom(shared_case("jpeg-rows-columns-swapped") / "swapped.dcm")


@pytest.mark.parametrize("name", CODESTREAMS)
def test_every_codestream_states_its_size(name):
    assert read_size(CODESTREAMS[name]()[0]) == (ROWS, COLUMNS)


@pytest.mark.parametrize("name", CODESTREAMS)
def test_height_and_width_must_both_be_the_headers(name):
    assert decode_first_frame(make_image(name).stored).shape[:2] == (ROWS, COLUMNS)
    for rows, columns in ((COLUMNS, ROWS), (ROWS // 2, 2 * COLUMNS), (ROWS, COLUMNS - 1), (ROWS - 1, COLUMNS)):
        with pytest.raises(DicomError, match=OTHER_SIZE):
            decode_first_frame(make_image(name, rows, columns).stored)


@pytest.mark.parametrize("name", ["JPEG", "JPEG-LS", "HTJ2K"])
def test_of_several_frames_the_first_is_asked(name):
    assert decode_first_frame(make_image(name, frames=2).stored).shape[:2] == (ROWS, COLUMNS)
    with pytest.raises(DicomError, match=OTHER_SIZE):
        decode_first_frame(make_image(name, COLUMNS, ROWS, frames=2).stored)


def test_a_jpeg_without_a_height_is_refused():
    """A height of 0 is stated behind the first scan (DNL), where no decoder here looks."""
    codestream = pillow(GREY, "JPEG")
    place = codestream.index(b"\xff\xc0")
    codestream = codestream[: place + 5] + b"\0\0" + codestream[place + 7 :]
    header = chest_header(GREY, PixelData=encapsulate([codestream]))
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    with pytest.raises(DicomError):
        decode_first_frame(read_image(save(header)).stored)


def test_a_codestream_that_is_none_or_ends_too_early_states_no_size():
    for name in CODESTREAMS:
        codestream = CODESTREAMS[name]()[0]
        stated = [length for length in range(400) if read_size(codestream[:length]) is not None]
        assert read_size(codestream[: stated[0]]) == (ROWS, COLUMNS) and stated == list(range(stated[0], 400))
    for other in (b"", b"GIF89a", b"\xff\xd8" * 40, b"\xff\xd8\xff\xe0\0\0" * 9, b"\xff\xd8\xff\xda" + bytes(40)):
        assert read_size(other) is None


def test_a_fake_codestream_in_a_box_is_not_asked():
    boxes = pillow(GREY, "JPEG2000")
    fake = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 41, 0, 1, 1, 0, 0) + bytes(30)
    place = 12 + struct.unpack(">I", boxes[12:16])[0]
    assert read_size(boxes[:place] + struct.pack(">I4s", 8 + len(fake), b"xml ") + fake + boxes[place:]) == (
        ROWS,
        COLUMNS,
    )
