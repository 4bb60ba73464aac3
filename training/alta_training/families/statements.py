"""What a safetensors file says of itself, read without its tensors and without a demand on it."""

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open


def read_statements(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; none if it is not there, not readable or of another kind."""
    if not os.path.isfile(path):
        return {}
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}
