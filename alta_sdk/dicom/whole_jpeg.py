"""Is a JPEG whole? Where its data is cut, lost or garbled, libjpeg makes the rest up and gives a warning.

Pillow and pydicom drop that warning, and half a radiograph would be scored. simplejpeg (MIT, 1 MB, libjpeg-turbo)
raises it. Used in the decoding process, too, which imports nothing of this package: no import of ours here.
"""

from typing import Any

DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG")  # other warnings and limits say nothing of the pixels


def decode_whole(data: bytes) -> Any:
    """Return a JPEG's grey levels, (height, width) uint8, or None if this decoder does not know its kind.

    Of a grey JPEG they are Pillow's to the last bit. Raises ValueError if a part of the picture is not in the data.
    """
    import simplejpeg

    try:
        return simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)[:, :, 0]
    except ValueError as error:
        if str(error).startswith(DAMAGE):
            raise
        return None
