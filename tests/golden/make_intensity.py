"""Make intensity.npz: what OpenCV's convertScaleAbs gives, which the published DICOM path calls, and equalizeHist.

Needs opencv-python-headless, which the project does not: pip install it where this is run.

    python tests/golden/make_intensity.py
"""

from pathlib import Path

import cv2
import numpy as np

generator = np.random.default_rng(1)
cases = {}
for number, (dtype, low, high) in enumerate(
    [(np.uint8, 0, 255), (np.uint16, 0, 65535), (np.uint16, 803, 26512), (np.uint16, 0, 4095), (np.int16, -2000, 3071)]
):
    stored = generator.integers(low, high, (64, 257), dtype=dtype, endpoint=True)
    stored[0, 0] = high
    cases[f"stored_{number}"] = stored
    cases[f"grey_{number}"] = cv2.convertScaleAbs(stored, alpha=255.0 / stored.max())
# Every 16-bit value, for maxima whose multiples of 255/max fall on halves
for maximum in (510, 1020, 4080, 8160, 32640, 65535):
    stored = np.arange(maximum + 1, dtype=np.uint16).reshape(1, -1)
    cases[f"stored_all_{maximum}"] = stored
    cases[f"grey_all_{maximum}"] = cv2.convertScaleAbs(stored, alpha=255.0 / stored.max())
# MIMIC-CXR-JPG: truncated to 8 bits, then equalised (Johnson et al., arXiv 1901.07042)
for number, (low, high, skew) in enumerate([(0, 4095, 1.0), (803, 26512, 3.0), (-2000, 3071, 0.3), (0, 7, 1.0)]):
    stored = (low + (high - low) * generator.random((64, 257)) ** skew).astype(np.int16)
    shifted = stored.astype(np.float64) - stored.min()
    eight = (shifted / shifted.max() * 255).astype(np.uint8)
    cases[f"mimic_stored_{number}"] = stored
    cases[f"mimic_grey_{number}"] = cv2.equalizeHist(eight)
    cases[f"mimic_inverted_{number}"] = cv2.equalizeHist(255 - eight)
np.savez_compressed(Path(__file__).with_name("intensity.npz"), **cases)
