"""Synthetic radiographs for benchmarks: no patient, no file to fetch, the size and depth that detectors give.

And a finding to score them for, which an engine knows.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

    from ..engine.engine import Engine

FINDINGS = ("pneumonia", "edema", "pleural effusion")


def choose_finding(engine: "Engine") -> str:
    """Return the first finding that the engine's vocabulary knows: which one is asked does not change the time."""
    known = (name for name in FINDINGS if not engine.count_words([name])[0].is_unread)
    return next(known, FINDINGS[0])


def make_grey(height: int = 2500, width: int = 2048) -> NDArray[np.uint8]:
    """Make a synthetic image of a radiograph's size, for timings: (height, width) uint8, smooth with a little noise."""
    rows, columns = (np.arange(side, dtype=np.float32) for side in (height, width))
    grey = 60 * np.outer(np.sin(rows / 310), np.cos(columns / 270))
    grey += 90 + 30 * np.sin(columns / 61)
    grey += np.random.default_rng(0).normal(0, 3, width).astype(np.float32)  # detector columns differ a little
    return np.asarray(np.clip(grey, 0, 255), dtype=np.uint8)


def make_frontal(stored: NDArray[np.uint16], **elements: object) -> "Dataset":
    """Make an uncompressed CR frontal of stored values (height, width), 12 bits; elements: others, by keyword."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    header.StudyInstanceUID = generate_uid()
    header.Modality, header.BodyPartExamined, header.ViewPosition = "CR", "CHEST", "PA"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = stored.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PixelData = stored.tobytes()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header
