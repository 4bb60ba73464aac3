"""The manifest's preprocessing section: how a radiograph becomes what the image graph reads.

The geometry comes from a file that strangers may have written and decides how large an image is made, so its
sides are bounded. Bundles that were written before there was a choice say nothing of it: theirs is ALTA's.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..study.geometry import ALTA_GEOMETRY, FILTERS, RULES, Geometry
from .schema import boolean, choice, integer, plain, record, text

GEOMETRY = "geometry"
MAX_SIDE_PX = 4096
_GEOMETRY = record(
    {
        "rule": choice(*RULES),
        "resize_px": integer(1, MAX_SIDE_PX),
        "crop_px": integer(1, MAX_SIDE_PX),
        "filter": choice(*FILTERS),
        "grey_first": boolean,
    }
)


def check_geometry(value: Any, where: str) -> None:
    """Raise ValueError unless this is a geometry."""
    _GEOMETRY(value, where)
    Geometry(**value)  # sides that do not fit each other


PREPROCESSING = record({"intensity_profile": text(100)}, {GEOMETRY: check_geometry}, plain)


def describe_geometry(geometry: Geometry) -> dict[str, Any]:
    """Return what a manifest's preprocessing section says of a geometry."""
    return {GEOMETRY: asdict(geometry)}


def read_geometry(section: Mapping[str, Any]) -> Geometry:
    """Return the geometry that a checked preprocessing section states; ALTA's where it states none."""
    stated = section.get(GEOMETRY)
    return ALTA_GEOMETRY if stated is None else Geometry(**stated)
