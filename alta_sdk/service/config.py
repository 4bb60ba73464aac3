"""The configuration of a service: a TOML file, read whole, so that all of its faults are told at once.

Unknown keys are faults: a mistyped one would silently be its default. Each fault names its line and what to write.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from ..errors import ServiceError
from ..files.opening import read_bytes
from ..files.spelling import spell
from .config_lines import find_fault_line, find_lines
from .config_reading import Fault, Reading
from .config_values import Scope
from .settings import Settings

MOST_BYTES = 1 << 20


def read_settings(path: Path, *, must_exist: bool = True) -> Settings:
    """Read a configuration; raise ServiceError with all of its faults in one line."""
    settings, faults = load_settings(path, must_exist=must_exist)
    if settings is None:
        raise ServiceError(f"configuration has {count_faults(faults)}: {' | '.join(map(str, faults))}")
    return settings


def count_faults(faults: Sequence[Fault]) -> str:
    """Return "1 fault" or "3 faults"."""
    return f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"


def load_settings(path: Path, *, must_exist: bool = True) -> tuple[Settings | None, list[Fault]]:
    """Read a configuration; return it, or None and every fault of it in the order of their lines.

    must_exist: paths at which there is nothing are faults, too. Raises ServiceError if the file cannot be read.
    """
    try:
        data = read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise ServiceError(
            f"configuration cannot be read: {error.strerror or 'it is no file'}; check --config"
        ) from error
    if len(data) > MOST_BYTES:
        raise ServiceError("configuration is larger than 1 MiB: give a service.toml as --config")
    try:
        text = data.decode("utf-8")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        return None, [Fault(data[: error.start].count(b"\n") + 1, "is no text in UTF-8: save the file as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        return None, [Fault(find_fault_line(error), f"is no TOML: {spell(error)}")]
    except RecursionError:
        return None, [Fault(0, "is no TOML of ours: nested too deep")]
    reading = Reading(raw, find_lines(text), Scope(path.absolute().parent, must_exist))
    settings = reading.read_all()
    faults = sorted(reading.faults, key=lambda fault: fault.line)
    return (None, faults) if faults else (settings, [])
