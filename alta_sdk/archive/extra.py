"""The packages of the extras `archive`, `ray` and `dask`: asked for when a command needs them, never before."""

import os
import warnings
from importlib import import_module
from typing import Any

from ..errors import RuntimeUnavailable

ARCHIVE = ("lance", "pyarrow")


def require_archive() -> None:
    """Raise RuntimeUnavailable unless what an archive is kept with can be imported."""
    os.environ.setdefault("LANCE_LOG", "error")  # its warnings are lines on standard error, and quote addresses
    for name in ARCHIVE:
        require(name, "archive")


def require(name: str, extra: str) -> Any:
    """Import a package and return it; raise RuntimeUnavailable, naming the extra, if it is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own imports
            return import_module(name)
    except ImportError as error:
        raise RuntimeUnavailable(f'{name} cannot be imported: pip install "alta-sdk[{extra}]"') from error
