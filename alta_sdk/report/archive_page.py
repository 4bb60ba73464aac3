"""The studies of an archive that match a phrase, as one self-contained page: keys, cosines, small pictures if asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..locate.overlay import DISCLAIMER
from .page import list_provenance
from .templates import embed_picture, render_template

PAGE_MARK = b'<meta name="generator" content="alta-sdk archive">'
SIDE_PX = 160  # of the longer side of a small picture


def is_archive_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a page."""
    return head.startswith(b"<!DOCTYPE html>") and PAGE_MARK in head


def render_found(
    rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, NDArray[np.uint8]], provenance: Mapping[str, Any]
) -> str:
    """Return the page, as HTML 5.

    rows: key, cosine and, where the archive has them, scores by label, best first. pictures: (height, width) or
    (height, width, 3) uint8 by key: patient data.
    """
    labels = list(rows[0].get("labels", ())) if rows else []
    shown = {key: embed_picture(_shrink(picture)) for key, picture in pictures.items()}
    told = provenance.get("notices", ())
    return render_template(
        "archive.html",
        engine=provenance.get("engine", "an engine"),
        notices=list(dict.fromkeys([*told, f"{DISCLAIMER}."])),
        rows=rows,
        labels=labels,
        pictures=shown,
        provenance=list(list_provenance(provenance)),
    )


def _shrink(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture in colour, its longer side no longer than SIDE_PX."""
    from PIL import Image

    small = Image.fromarray(picture).convert("RGB")
    small.thumbnail((SIDE_PX, SIDE_PX))
    return np.asarray(small)
