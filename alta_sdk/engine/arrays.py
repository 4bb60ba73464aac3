"""Read the arrays of an .npz that strangers may have written: no pickle, no compression, no more than its bytes.

numpy's own reader makes an array of the size that a header claims before it looks for the data, and unpacks what was
packed ten-thousandfold. An export stores arrays as they are, so that nothing in the file can be larger than the file.
"""

import contextlib
import io
import math
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IntegrityError

KINDS = "fiub"  # floating point, integers, true or false
WORD = "S"  # ASCII, of one length
MAX_ARRAYS = 64


def read_arrays(data: bytes, names: Iterable[str], file: str) -> dict[str, NDArray[Any]]:
    """Return arrays of an .npz by name, read-only views of `data`; file: what to call it in a message.

    Raises IntegrityError for what is not such a file, lacks one of the names, or holds numbers that are not finite.
    """
    with _open(data, file) as (archive, members):
        return {name: _read_array(archive, members[f"{name}.npy"], len(data)) for name in names}


def list_arrays(data: bytes, file: str) -> frozenset[str]:
    """Return the names of what an .npz holds; raises what `read_arrays` raises."""
    with _open(data, file) as (_, members):
        return frozenset(name.removesuffix(".npy") for name in members)


def read_word(data: bytes, name: str, file: str) -> str:
    """Return the one word in ASCII that an .npz holds under a name; raises what `read_arrays` raises."""
    with _open(data, file) as (archive, members):
        word: bytes = _read_array(archive, members[f"{name}.npy"], len(data), WORD).reshape(()).item()
        return word.decode("ascii")


@contextlib.contextmanager
def _open(data: bytes, file: str) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open an .npz and turn whatever fails inside into an IntegrityError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if len(members) > MAX_ARRAYS:
                raise ValueError("too many arrays")
            yield archive, members
    except Exception as error:  # zipfile and numpy raise a dozen kinds for bytes that somebody forged
        raise IntegrityError(f"{file} cannot be read: export the bundle again") from error


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int, kinds: str = KINDS) -> NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
        raise ValueError("an array is packed, or larger than the file")
    stream = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, is_fortran, dtype = read_header(stream)
    if dtype.kind not in kinds or min(shape, default=0) < 0:
        raise ValueError("an array of another kind")
    body = stream.getbuffer()[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError("an array whose data are not all there")
    flat = np.frombuffer(body, dtype=dtype)
    array = flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("an array with numbers that are not finite")
    return array
