"""Files that hold a key: small, and, where the key is secret, not open to every user of the machine."""

import os
from pathlib import Path

from ..errors import EngineError
from .opening import open_file


def read_key_file(path: Path, what: str, advice: str, *, most: int, is_secret: bool) -> bytes:
    """Return a key file's bytes, of a longer one than `most` one more than that.

    what: the key in messages. advice: what to do where the file cannot be read. On Windows the mode says nothing:
    there the folder's access list guards the file. Raises EngineError.
    """
    try:
        with open_file(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(most + 1)
    except OSError as error:
        raise EngineError(f"{what} cannot be read: {error.strerror}; {advice}") from error
    if is_secret and os.name != "nt" and mode & 0o007:
        raise EngineError(f"{what} is open to every user of this machine: chmod 600 it, or make a new one")
    return data
