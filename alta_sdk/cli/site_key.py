"""The site's secret, as `alta embed` and `alta rank` open it."""

from pathlib import Path

from ..study.key import SITE_KEY_NAME, SiteKey, open_site_key
from .terminal import say


def open_key(key_file: str | None, beside: Path) -> SiteKey:
    """Open the site key for an index in the folder `beside`, and say so if one was made; raises EngineError."""
    site_key, is_new = open_site_key(key_file, beside)
    if is_new:
        say(f"made a site key: {SITE_KEY_NAME} beside the index; keep it, and keep it secret")
    return site_key
