"""Files that a person asks for: looked at before the work, written whole or not at all, never over another."""

from pathlib import Path

from ..errors import AltaError
from .atomic import new_file


def check_target(path: Path, what: str, *, overwrite: bool) -> None:
    """Raise AltaError if a file cannot go there: it exists (it might be the study itself), or its folder does not."""
    if path.exists() and not overwrite:
        raise AltaError(f"file of the {what} exists: choose another name, or replace it (overwrite, --overwrite)")
    if not path.absolute().parent.is_dir():
        raise AltaError(f"folder of the {what} does not exist: make it first")


def write_target(path: Path, data: bytes, what: str, *, overwrite: bool) -> None:
    """Write a file; raise AltaError if it exists or cannot be written."""
    check_target(path, what, overwrite=overwrite)
    try:
        with new_file(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise AltaError(f"{what} cannot be written: {error.strerror or type(error).__name__}") from error
