"""Which files of a study are no DICOM and may have been a radiograph: what a broken copy leaves, or what is packed.

Beside images lie notes, previews and viewers, which are no part of a study. An empty file, one of zeros or one whose
name says DICOM may be all that is left of the lateral radiograph, and an archive inside the study may hold it.
"""

import re

ARCHIVE_SUFFIXES = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".tar", ".lz4", ".z")
# zip, gzip, bzip2, xz, 7-Zip, RAR, Zstandard, LZ4
ARCHIVE_MARKS = (
    *(b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"),
    *(b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"),
)
PROGRAM_MARKS = (b"MZ", b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".dc3", ".ima")
_SUFFIX = re.compile(r"\.[a-z][a-z0-9_~-]{0,9}", re.ASCII)  # of a file that has a kind: those of UIDs are numbers
EMPTY = "an empty file"
BLANK = "a file of one value, as broken copies leave"
NOT_WHAT_IT_SAYS = "a file named as DICOM that is none"
ARCHIVE = "an archive or compressed file inside"
UNKNOWN = "a file of no known kind"


def explain_loss(name: str, begun: bytes) -> str:
    """Return why a file that is not DICOM may be what is left of an image, or nothing if it is a file of another kind.

    name: as it is called, without folders; empty for bytes. begun: its first bytes.
    """
    name = name.lower()
    if name.startswith("."):  # of the file system: ._x.dcm are what macOS keeps beside x.dcm
        return ""
    stem, suffix = _split(name)
    is_packed = suffix in ARCHIVE_SUFFIXES
    if (_split(stem)[1] if is_packed else suffix) in DICOM_SUFFIXES:
        return ARCHIVE if is_packed and begun.startswith(ARCHIVE_MARKS) else _explain_blank(begun) or NOT_WHAT_IT_SAYS
    if is_packed:
        return _explain_blank(begun) or ARCHIVE
    if suffix:  # a document may be a zip inside
        return ""
    if begun.startswith(ARCHIVE_MARKS):
        return ARCHIVE
    is_binary = b"\0" in begun and not begun.startswith(PROGRAM_MARKS)
    return _explain_blank(begun) or (UNKNOWN if is_binary else "")


def _explain_blank(begun: bytes) -> str:
    if not begun:
        return EMPTY
    return BLANK if begun.count(begun[:1]) == len(begun) else ""


def _split(name: str) -> tuple[str, str]:
    """Return a name without its suffix, and the suffix, if that is one."""
    stem, dot, rest = name.rpartition(".")
    suffix = dot + rest
    is_one = bool(stem) and (suffix in ARCHIVE_SUFFIXES or _SUFFIX.fullmatch(suffix) is not None)
    return (stem, suffix) if is_one else (name, "")
