"""Files that a person asks for: looked at before the work, written whole or not at all, never over another's.

`--overwrite` replaces what the same command wrote, told by the file's own first bytes, and an empty file; a thesis
that has the name by mistake stays. What is no file is written through. An input is never an output.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import AltaError
from .atomic import new_file
from .opening import is_there, open_file
from .streams import is_stream, write_stream

HEAD_BYTES = 1 << 16
ENGINE_FILES = ("manifest.json", "head.npz")  # every engine has them
IsOurs = Callable[[bytes], bool]  # of a file's first HEAD_BYTES bytes
AnyPath = str | os.PathLike[str]


def check_target(
    path: Path,
    what: str,
    *,
    overwrite: bool,
    is_ours: IsOurs,
    inputs: Iterable[AnyPath | None] = (),
    error: type[AltaError] = AltaError,
) -> None:
    """Raise an error if a file cannot go there: before the work, so that none is lost.

    It exists (it might be the study itself), is an input or not what this command writes, or its folder is not there.
    """
    refuse_inputs(path, inputs, what, error)
    if is_stream(path, what):
        return
    try:
        is_taken = is_there(path)
    except OSError as problem:
        reason = problem.strerror or type(problem).__name__
        raise error(f"{what} cannot be written: {reason}; choose another name, or mend its folder") from problem
    if is_taken:
        if not overwrite:
            raise error(f"file of the {what} exists: choose another name, or replace it (overwrite, --overwrite)")
        check_replaceable(path, what, is_ours, error)
    if not os.path.isdir(os.path.dirname(os.path.realpath(path))):
        raise error(f"folder of the {what} does not exist: make it first")


def check_replaceable(path: Path, what: str, is_ours: IsOurs, error: type[AltaError] = AltaError) -> None:
    """Raise an error if a file that is there is not empty and none of ours."""
    try:
        with open_file(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError as problem:
        raise error(f"file of the {what} exists and cannot be read: {problem.strerror}; give another name") from problem
    if head and not is_ours(head):
        raise error(
            f"file of the {what} exists and this command did not write it: --overwrite replaces only what it wrote; "
            "choose another name, or move that file away"
        )


def refuse_inputs(
    output: Path, inputs: Iterable[AnyPath | None], what: str, error: type[AltaError] = AltaError
) -> None:
    """Raise an error if an output is one of the files or folders that are read, around one, or inside an engine."""
    refuse_engines(output, what, error)
    for given in inputs:
        if given is not None and (is_same_file(Path(given), output) or is_within(Path(given), output)):
            raise error(f"{what} would be written over what is read: choose another name for it")


def refuse_engines(output: Path, what: str, error: type[AltaError] = AltaError) -> None:
    """Raise an error if an output lies in the folder of an engine, which holds what its manifest lists alone."""
    try:
        folders = Path(os.path.realpath(output)).parents
        is_inside = any(all(os.path.isfile(folder / name) for name in ENGINE_FILES) for folder in folders)
    except (OSError, ValueError):  # a name that no file can have
        return
    if is_inside:
        raise error(f"{what} would be written into an engine's folder: choose another place for it")


def is_within(path: Path, folder: Path) -> bool:
    """True if a path, with every link on the way followed, lies in a folder."""
    try:
        return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents
    except ValueError:  # a name that no file can have
        return False


def is_same_file(one: Path, other: Path) -> bool:
    """True if two paths are one file, whatever links lead there and whether or not it exists yet."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        names = [os.path.normcase(os.path.abspath(path)) for path in (one, other)]
    with suppress(ValueError):  # a name that no file can have has no links
        names = [os.path.normcase(os.path.realpath(path)) for path in (one, other)]
    return names[0] == names[1]


def write_target(path: Path, data: bytes, what: str, *, overwrite: bool, is_ours: IsOurs) -> None:
    """Write a file; raise AltaError if it exists, is not ours to replace, or cannot be written."""
    check_target(path, what, overwrite=overwrite, is_ours=is_ours)
    try:
        if is_stream(path, what):
            write_stream(path, data)
            return
        with new_file(path, overwrite=overwrite and is_there(path)) as temporary:
            temporary.write_bytes(data)
    except FileExistsError as error:
        raise AltaError(f"file of the {what} exists: it came while this ran; choose another name") from error
    except OSError as error:
        raise AltaError(f"{what} cannot be written: {error.strerror or type(error).__name__}") from error
