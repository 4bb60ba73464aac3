"""Preprocessing equals the published one to the last bit."""

import numpy as np

from alta_sdk import Slot, Study


def test_jpeg_pixels_are_bit_equal(image_paths, golden):
    for path, expected in zip(image_paths, golden["pixels_u8"], strict=True):
        np.testing.assert_array_equal(Study.from_images(frontal=path).radiographs[Slot.FRONTAL].pixels_u8, expected)


def test_dicom_pixels_are_bit_equal(dicom_path, golden):
    study = Study.from_dicom(dicom_path)
    np.testing.assert_array_equal(study.radiographs[Slot.FRONTAL].pixels_u8, golden["dicom_u8"])
