"""Are two files copies of one image? Told by all that their headers say of it and by every stored value.

Each image is hashed once, not compared pair by pair: a thousand files under one SOPInstanceUID are a thousand
hashes. A copy may be coded in another way, so values are decoded where the bytes differ, for a bounded time.
"""

import hashlib
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from ..errors import DicomError
from .decode_time import DecodeTime
from .image import DicomImage
from .pixels import StoredPixels, decode_first_frame


class CopySearch:
    """Compares the images of one study, each of which is hashed once; when its time is spent, no more."""

    def __init__(self, time: DecodeTime) -> None:
        """Decode and hash for no longer than a time of its own, beside what the study itself needs."""
        self._time = time
        self._said: dict[DicomImage, bytes] = {}
        self._coded: dict[DicomImage, bytes] = {}
        self._values: dict[bytes, bytes | None] = {}  # by coded bytes

    def is_copy(self, one: DicomImage, other: DicomImage) -> bool | None:
        """True if both hold one image; None if there is no time left to tell.

        What cannot be decoded is a copy only if it is the same bytes, described in the same way.
        Raises StudyError if pixels were left in a file that cannot be read again.
        """
        for image in (one, other):
            if image not in self._said:
                self._said[image], self._coded[image] = hash_said(image), hash_coded(image)
        if self._said[one] != self._said[other]:
            return False
        if self._coded[one] == self._coded[other]:
            return True
        mine, theirs = self._hash_values(one), self._hash_values(other)
        if mine is None or theirs is None:
            return None if self._time.is_spent else False
        return mine == theirs

    def _hash_values(self, image: DicomImage) -> bytes | None:
        """Return the hash of the stored values of the first frame, None if they cannot be decoded."""
        coded = self._coded[image]
        if coded not in self._values:
            try:
                with self._time.count_own():
                    stored = replace(image.stored, time=self._time)
                    self._values[coded] = None if self._time.is_spent else _hash_pixels(stored)
            except DicomError:
                self._values[coded] = None
        return self._values[coded]


def hash_said(image: DicomImage) -> bytes:
    """Hash what is read of a header that decides how an image is taken and shown, but for how its pixels are coded."""
    said = (image.keys, image.finding, image.view_position, image.lie, image.traits, image.display)
    return _hash((*said, image.has_pixels, image.body_part_refusal, _say_layout(image.stored)))


def hash_coded(image: DicomImage) -> bytes:
    """Hash the pixel data as they are coded, with what describes them."""
    stored = image.stored
    return _hash((stored.read_digest(), stored.syntax, stored.is_there, stored.layout, stored.native))


def _say_layout(stored: StoredPixels) -> Any:
    """Return what is the same in every coding of an image."""
    try:
        layout = stored.layout.get()
    except DicomError as error:
        return str(error)
    photometric = layout.photometric if layout.samples == 1 else ""
    return replace(layout, photometric=photometric, planar=0, bits_allocated=0, high_bit=0)


def _hash_pixels(stored: StoredPixels) -> bytes:
    pixels = decode_first_frame(stored)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    for row in pixels:  # not all at once, which would take twice the memory of the image
        digest.update(np.ascontiguousarray(row, dtype=np.int32).data)
    return digest.digest()


def _hash(values: Any) -> bytes:
    return hashlib.sha256(repr(_spell(values)).encode()).digest()


def _spell(value: Any) -> Any:
    """Return plain values whose `repr` tells all of a value."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest()
    if is_dataclass(value):
        return tuple(_spell(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, dict):
        return tuple(sorted((str(key), _spell(one)) for key, one in value.items()))
    return tuple(map(_spell, value)) if isinstance(value, tuple | list) else value
