"""What is received: the SOP classes that are scored, in the transfer syntaxes that this install can decode.

A context that lists no compressed syntax makes senders decompress or fail; one that lists a syntax without a decoder
takes what nobody can score. No structured report and no secondary capture is taken, so that nothing of ours returns.
"""

from ..dicom.decoding import PLUGINS, find_plugin
from ..errors import DicomError

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"
DIGITAL_XRAY_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
COMMAND_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # of what holds no image
# Implicit and explicit little endian, deflated, and big endian, which is retired.
UNCOMPRESSED = (*COMMAND_SYNTAXES, "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
_DEEP = 12  # bits of a radiograph: JPEG extended of more than 8 needs another decoder than of 8


def list_storage_classes(*, allow_for_processing: bool = False) -> tuple[str, ...]:
    """Return the SOP classes of the images that are taken."""
    more = (DIGITAL_XRAY_FOR_PROCESSING,) if allow_for_processing else ()
    return (COMPUTED_RADIOGRAPHY, DIGITAL_XRAY, *more)


def list_syntaxes() -> tuple[str, ...]:
    """Return the transfer syntaxes that images are taken in: explicit little endian first, then by their UID."""
    explicit, implicit = COMMAND_SYNTAXES[1], COMMAND_SYNTAXES[0]
    return (explicit, implicit, *UNCOMPRESSED[2:], *filter(_is_decodable, PLUGINS))


def _is_decodable(syntax: str) -> bool:
    try:
        find_plugin(syntax, _DEEP)
    except DicomError:
        return False
    return True
