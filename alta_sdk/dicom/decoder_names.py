"""Which library decodes an image, for the provenance of its scores."""

from .decoding import find_plugin
from .pixels import StoredPixels

# By pydicom's plug-in; pylibjpeg stands for several.
LIBRARIES = {"pillow": "libjpeg-turbo", "pyjpegls": "charls", "gdcm": "gdcm", "pydicom": "pydicom"}
RLE, JPEG_2000 = "1.2.840.10008.1.2.5", ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")


def name_decoder(stored: StoredPixels) -> str:
    """Return the library that decodes an image, with or without threads; empty for pixels that are not compressed.

    Raises DicomError if there is none.
    """
    if stored.is_native:
        return ""
    plugin = find_plugin(stored.syntax, stored.layout.get().bits_stored)
    if plugin in LIBRARIES:
        return LIBRARIES[plugin]
    return "openjpeg" if stored.syntax.startswith(JPEG_2000) else "pylibjpeg-rle" if stored.syntax == RLE else "libjpeg"
