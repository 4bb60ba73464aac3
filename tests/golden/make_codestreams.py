"""Make codestreams.npz: one 12-bit image as HTJ2K (OpenJPH) and as JPEG Lossless (liblj92), which nothing here writes.

Needs imagecodecs, which the project does not: pip install it where this is run.

    python tests/golden/make_codestreams.py
"""

from pathlib import Path

import imagecodecs
import numpy as np

rows, columns = np.mgrid[0:96, 0:80]
stored = (2000 + 1500 * np.sin(rows / 9) * np.cos(columns / 7) + 37 * ((rows * columns) % 11)).astype(np.uint16)
np.savez_compressed(
    Path(__file__).with_name("codestreams.npz"),
    stored=stored,
    htj2k=np.frombuffer(imagecodecs.htj2k_encode(stored, reversible=True), np.uint8),
    jpeg_lossless=np.frombuffer(imagecodecs.ljpeg_encode(stored, bitspersample=12), np.uint8),
)
