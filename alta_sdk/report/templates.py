"""The one way from values to a page: jinja2, every value escaped, none left out unseen.

The threats: a label, a phrase or a file name with markup in it, or with characters that a browser hides or turns
round; and a page that tells a server that it was opened. Every value is spelled and escaped where it is written, and
the pages' own policy (CSP) lets them load nothing but their inline style and pictures.
"""

import base64
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..files.shown import escape_bytes
from ..files.spelling import spell
from ..locate.overlay import Rgb, encode_png

if TYPE_CHECKING:  # imported where a page is made: a command that makes none starts sooner
    from jinja2 import Environment


def render_template(name: str, **values: Any) -> str:
    """Return a template of this room, filled; a value that it lacks is an error."""
    return escape_bytes(_open_templates().get_template(name).render(values))


def make_environment(read: Callable[[str], str]) -> "Environment":
    """Return what renders templates by name: every value escaped and spelled, one that is lacking an error.

    read: returns a template's text. For the pages of other rooms, too.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        finalize=_spell_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def _open_templates() -> "Environment":
    return make_environment(lambda name: (files(__package__) / name).read_text(encoding="utf-8"))


def _spell_text(value: Any) -> Any:
    """Return text with what a browser obeys or hides as escapes; markup of the templates' own as it is."""
    return spell(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def embed_picture(rgb: Rgb) -> str:
    """Return a picture (height, width, 3) uint8 as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(encode_png(rgb)).decode("ascii")


def format_percent(share: float) -> str:
    """Return a share as CSS has it, cut at 0 and 1."""
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"
