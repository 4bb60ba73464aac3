"""Turn what the page shows into HTML: every text escaped, and spelled where a screen would obey it."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from starlette.responses import HTMLResponse

from ..._version import __version__
from ...report.templates import make_environment
from .study_page import READING, describe_time

NOT_FOR_CLINICAL_USE = "Not for clinical use: not a medical device."


def read_page_file(name: str) -> str:
    """Return a file that lies beside this one."""
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def open_templates() -> Environment:
    """Return what templates are rendered by."""
    environment = make_environment(read_page_file)
    environment.filters.update(at=describe_time, size=describe_size, share=describe_share, uid_name=describe_uid)
    environment.globals.update(version=__version__, disclaimer=NOT_FOR_CLINICAL_USE, reading=READING)
    return environment


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page."""
    return HTMLResponse(open_templates().get_template(template).render(**values), status)


def describe_size(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def describe_uid(uid: str) -> str:
    """Return what the standard calls a SOP class or transfer syntax."""
    from pydicom.uid import UID

    name = UID(uid).name
    return name.partition(" Storage")[0] if name != uid else "unknown"


def describe_share(score: float) -> str:
    """Return a score as a length out of 100, for a bar."""
    return f"{100 * min(max(score, 0.0), 1.0):.1f}"
