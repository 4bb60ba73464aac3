"""Bodies of STOW-RS requests, as a careful or a careless sender makes them."""

import struct

from fakes.service_view import CR, JPEG_2000, UID

BOUNDARY = "alta-boundary"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def make_file(dataset=b"\x08\x00data", number=1, sop_class=CR, syntax=JPEG_2000):
    """A DICOM file of a data set, with the elements of file meta information that are needed."""
    meta = [(0x0001, b"OB", b"\x00\x01"), (0x0002, b"UI", sop_class.encode())]
    meta += [(0x0003, b"UI", f"{UID}.{number}".encode()), (0x0010, b"UI", syntax.encode())]
    return bytes(128) + b"DICM" + b"".join(_element(*one) for one in meta) + dataset


def make_body(*parts, media_type="application/dicom"):
    """A multipart/related body of these parts."""
    header = f"Content-Type: {media_type}\r\n" if media_type else ""
    opened = [f"--{BOUNDARY}\r\n{header}\r\n".encode() + part + b"\r\n" for part in parts]
    return b"".join(opened) + f"--{BOUNDARY}--\r\n".encode()


def _element(number, vr, value):
    value += b"\0" * (len(value) % 2)
    length = struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
    return struct.pack("<HH", 2, number) + vr + length + value
