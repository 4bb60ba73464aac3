"""The ALTA model: image tower, text tower, decoder, with names and numbers of the published code."""

from .alta import AltaModel
from .sizes import ImageSizes, ModelSizes

__all__ = ["AltaModel", "ImageSizes", "ModelSizes"]
