"""The site's secret, as `alta embed` and `alta rank` open it."""

from pathlib import Path

from ..study.key import SETTINGS, SITE_KEY_NAME, SiteKey, find_site_key, open_site_key
from .terminal import say

WHERE = f"{SITE_KEY_NAME} in the folder {SETTINGS} of this user's settings"


def open_key(key_file: str | None, beside: Path) -> SiteKey:
    """Open the site key for an index in the folder `beside`; say so if one was made, or lies there. EngineError."""
    is_beside = find_site_key(key_file, beside).parent == beside
    site_key, is_new = open_site_key(key_file, beside)
    if is_new:
        say(f"made a site key: {WHERE} (~/.config/{SETTINGS} on Linux); keep it, and keep it secret")
    elif is_beside and not key_file:
        say(
            f"the site key lies beside the index: who copies that folder can tell whose studies are in it; move "
            f"{SITE_KEY_NAME} into the folder {SETTINGS} of your settings (docs/indexes.md), or name it with --key-file"
        )
    return site_key
