"""Where this user's settings of alta-sdk are: the site key, and alta.toml."""

import os
import sys
from pathlib import Path

SETTINGS = "alta-sdk"


def find_settings() -> Path | None:
    """Return alta-sdk's folder among this user's settings, which need not be there yet; None without a home folder."""
    if stated := os.environ.get("XDG_CONFIG_HOME") or (os.name == "nt" and os.environ.get("APPDATA")):
        return Path(stated) / SETTINGS
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Application Support" if sys.platform == "darwin" else ".config") / SETTINGS
