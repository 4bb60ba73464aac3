"""Radiographs for training, through the SDK's own preprocessing, with an optional cache on disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alta_sdk.files.atomic import new_file
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_sdk.study.radiograph import Radiograph
from alta_sdk.study.slots import Slot
from alta_sdk.study.study import load_study

from ..published import TARGET_ZOOM

READING = 2  # counts up where a file gives other pixels than before: 2 turns JPEG and PNG as EXIF says


@dataclass(frozen=True, eq=False)
class RadiographPixels:
    """small: (224, 224) uint8, what the tower sees. large: the same at twice the resolution, if asked for."""

    small: NDArray[np.uint8]
    large: NDArray[np.uint8] | None


class PixelReader:
    """Reads JPEG, PNG or DICOM radiographs; safe to use from several processes."""

    def __init__(self, intensity_profile: str, cache: Path | None = None) -> None:
        """Read with an intensity profile; cache: a folder for decoded and resized pixels."""
        self.intensity_profile = intensity_profile
        self.cache = cache

    def read(self, path: Path, *, with_target: bool) -> RadiographPixels:
        """Read one radiograph; raise StudyError (or a kind of it) if it cannot be used.

        The slot comes from the table, so a file's own view and body part are not asked.
        """
        zooms = (1, TARGET_ZOOM) if with_target else (1,)
        cached = [self._load(path, zoom) for zoom in zooms]
        if any(pixels is None for pixels in cached):
            radiograph = self._decode(path)
            cached = [
                radiograph.pixels_u8 if zoom == 1 else ALTA_GEOMETRY.to_pixels(radiograph.grey_u8, zoom)
                for zoom in zooms
            ]
            for zoom, pixels in zip(zooms, cached, strict=True):
                self._store(path, zoom, pixels)
        small = cached[0]
        if small is None:
            raise AssertionError("a radiograph was decoded and is not there")
        return RadiographPixels(small, cached[1] if with_target else None)

    def _decode(self, path: Path) -> Radiograph:
        study = load_study(
            path, intensity_profile=self.intensity_profile, any_body_part=True, any_view=True, any_picture=True
        )
        return study.radiographs[Slot.FRONTAL]

    def _load(self, path: Path, zoom: int) -> NDArray[np.uint8] | None:
        if self.cache is None:
            return None
        try:
            pixels: NDArray[np.uint8] = np.load(self._file(path, zoom), allow_pickle=False)
        except (OSError, ValueError, EOFError):  # not there yet, or damaged: made anew
            return None
        side = ALTA_GEOMETRY.crop_px * zoom
        fits = pixels.shape == (side, side) and pixels.dtype == np.uint8
        return pixels if fits else None

    def _store(self, path: Path, zoom: int, pixels: NDArray[np.uint8] | None) -> None:
        if self.cache is None or pixels is None:
            return
        file = self._file(path, zoom)
        file.parent.mkdir(parents=True, exist_ok=True)
        with new_file(file) as temporary, temporary.open("wb") as out:
            np.save(out, pixels)

    def _file(self, path: Path, zoom: int) -> Path:
        """Name a cache file after everything that its pixels depend on; a hash, since paths carry names."""
        identity = f"{identify_file(path)}|{self.intensity_profile}|{zoom}|{READING}"
        digest = hashlib.sha256(identity.encode()).hexdigest()
        if self.cache is None:
            raise AssertionError("no cache folder")
        return self.cache / digest[:2] / f"{digest}.npy"


def identify_file(path: Path) -> str:
    """Name a file and its state, so that what was made of it is made anew when it changes."""
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
