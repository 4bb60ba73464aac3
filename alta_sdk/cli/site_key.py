"""The site's secret, as every command that names studies opens it, and how it names them."""

import os
from pathlib import Path

import click

from ..errors import EngineError
from ..files.user_settings import SETTINGS
from ..study.key import SITE_KEY_NAME, SITE_KEY_VARIABLE, SiteKey, find_site_key, open_site_key
from ..study.naming import StudyNamer
from .terminal import say

WHERE = f"{SITE_KEY_NAME} in the folder {SETTINGS} of this user's settings"

key_file_option = click.option(
    "--key-file",
    type=click.Path(),
    envvar=SITE_KEY_VARIABLE,
    help=f"The site key that names studies. [default: {SITE_KEY_NAME} in your settings folder, made if absent]",
)


def open_key(key_file: str | None, beside: Path | None = None) -> SiteKey:
    """Open the site key, for an index in the folder `beside`; say so if one was made, or lies there. EngineError."""
    is_beside = beside is not None and find_site_key(key_file, beside).parent == beside
    site_key, is_new = open_site_key(key_file, beside)
    if is_new:
        say(f"made a site key: {WHERE} (~/.config/{SETTINGS} on Linux); keep it, and keep it secret")
    elif is_beside and not key_file:
        say(
            f"the site key lies beside the index: who copies that folder can tell whose studies are in it; move "
            f"{SITE_KEY_NAME} into the folder {SETTINGS} of your settings (docs/indexes.md), or name it with --key-file"
        )
    return site_key


def make_namer(
    key_file: str | None, *, is_needed: bool, with_identifiers: bool = False, beside: Path | None = None
) -> StudyNamer:
    """Return what names the studies of a run.

    is_needed: an output tells keys; else none is opened, or made. Where no site key is named or there, and none can be
    kept, as on a read-only disk, studies have no key, and that is said: it costs no scores. Raises EngineError for a
    key that is there and cannot be used.
    """
    if not is_needed:
        return StudyNamer(None, with_identifiers)
    try:
        return StudyNamer(open_key(key_file, beside), with_identifiers)
    except EngineError as error:
        if _is_chosen(key_file, beside):
            raise
        say(f"studies have no key in this run: {error}")
        return StudyNamer(None, with_identifiers)


def _is_chosen(key_file: str | None, beside: Path | None) -> bool:
    """True if a site key was named, or there is one."""
    if key_file or os.environ.get(SITE_KEY_VARIABLE):
        return True
    try:
        return os.path.lexists(find_site_key(None, beside))
    except EngineError:  # no folder for one
        return False
