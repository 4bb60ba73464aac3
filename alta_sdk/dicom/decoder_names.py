"""Which library makes pixels of a transfer syntax here, with its version: a part of where a number comes from.

Decoders of lossy syntaxes differ by a grey value here and there, and so may two versions of one.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from .decoding import find_plugin

RLE = "1.2.840.10008.1.2.5"
JPEG_2000 = "1.2.840.10008.1.2.4.9"  # how its syntaxes begin
HTJ2K = "1.2.840.10008.1.2.4.20"
PACKAGES = {"gdcm": "python-gdcm"}  # of plug-ins of one package that has another name


def name_decoder(syntax: str, bits_stored: int) -> str:
    """Return what decodes a transfer syntax here: "JPEG 2000 Image Compression: pylibjpeg-openjpeg 2.4.0".

    Raises DicomError if nothing does.
    """
    return _name_decoder(syntax, bits_stored > 8)


@cache
def _name_decoder(syntax: str, is_deep: bool) -> str:
    from pydicom.uid import UID

    named = UID(syntax)
    package = _find_package(syntax, find_plugin(syntax, 16 if is_deep else 8)) if named.is_encapsulated else "pydicom"
    return f"{named.name}: {name_version(package)}"


@cache
def name_version(package: str) -> str:
    """Return a package's name and the version that is installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # it was frozen into an application
        return package


def _find_package(syntax: str, plugin: str) -> str:
    if plugin != "pylibjpeg":
        return PACKAGES.get(plugin, plugin)
    if syntax == RLE:
        return "pylibjpeg-rle"
    return "pylibjpeg-openjpeg" if syntax.startswith((JPEG_2000, HTJ2K)) else "pylibjpeg-libjpeg"
