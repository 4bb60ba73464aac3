"""Read the arrays of an .npz that strangers may have written: no pickle, no compression, no more than its bytes.

numpy's own reader makes an array of the size that a header claims before it looks for the data, and unpacks what was
packed ten-thousandfold. An export stores arrays as they are, so that nothing in the file can be larger than the file.
"""

import io
import math
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IntegrityError

KINDS = "fiub"  # floating point, integers, true or false
MAX_ARRAYS = 64


def read_arrays(data: bytes, names: Iterable[str], file: str) -> dict[str, NDArray[Any]]:
    """Return arrays of an .npz by name, read-only views of `data`; file: what to call it in a message.

    Raises IntegrityError for what is not such a file, lacks one of the names, or holds numbers that are not finite.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if len(members) > MAX_ARRAYS:
                raise ValueError("too many arrays")
            return {name: _read_array(archive, members[f"{name}.npy"], len(data)) for name in names}
    except Exception as error:  # zipfile and numpy raise a dozen kinds for bytes that somebody forged
        raise IntegrityError(f"{file} cannot be read: export the bundle again") from error


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
        raise ValueError("an array is packed, or larger than the file")
    stream = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, is_fortran, dtype = read_header(stream)
    if dtype.kind not in KINDS or min(shape, default=0) < 0:
        raise ValueError("an array of another kind")
    body = stream.getbuffer()[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(body):
        raise ValueError("an array whose data are not all there")
    flat = np.frombuffer(body, dtype=dtype)
    array = flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("an array with numbers that are not finite")
    return array
