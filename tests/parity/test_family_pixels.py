"""What the published code of other families makes of radiographs, to the last bit, through the SDK's own reading.

The goldens are read from ALTA_SEEDS_DIR: which radiographs, and how many, they tell themselves.
"""

import numpy as np
import pydicom
import pytest

from alta_sdk import Slot, Study
from alta_sdk.dicom.intensity import MINMAX
from alta_sdk.study.geometry import PAD_SQUARE, SHORTER_SIDE, Geometry
from alta_sdk.study.study import load_study


def crop_stretched(px):
    return Geometry(SHORTER_SIDE, 512, px, "bilinear", grey_first=True)  # BioViL-T and BioViL


def crop_whole(px):
    return Geometry(SHORTER_SIDE, px, px, "bicubic", grey_first=False)  # open_clip


def pad(px):
    return Geometry(PAD_SQUARE, px, px, "lanczos", grey_first=False)  # CheXzero


@pytest.mark.parametrize(
    ("seed", "key", "make", "options"),
    [
        ("biovil", "pixels_u8", crop_stretched, {"intensity_profile": MINMAX}),
        ("biovil", "pixels_480_u8", crop_stretched, {"intensity_profile": MINMAX}),
        ("clip", "chexzero_pixels_u8", pad, {}),
        ("clip", "biomedclip_pixels_u8", crop_whole, {}),
    ],
)
def test_pixels_of_pictures_are_bit_equal(read_golden, seed, key, make, options):
    golden = read_golden(seed)
    expected = golden.arrays[key]
    geometry = make(expected.shape[-1])
    assert 0 < len(expected) <= len(golden.paths)
    for path, pixels in zip(golden.paths, expected, strict=False):
        for study in (Study.from_images(path, **options), load_study(path, **options)):
            np.testing.assert_array_equal(study.radiographs[Slot.FRONTAL].pixels_for(geometry), pixels)


def test_dicom_pixels_are_bit_equal_where_nothing_is_inverted(read_golden, data_dir, tmp_path):
    golden = read_golden("biovil")
    header = pydicom.dcmread(data_dir / "dicom" / golden.facts["dicom"])
    expected = golden.arrays["dicom_u8"].astype(int)
    geometry = crop_stretched(expected.shape[-1])

    def read(interpretation):
        header.PhotometricInterpretation = interpretation
        header.save_as(tmp_path / f"{interpretation}.dcm")
        study = Study.from_dicom(tmp_path / f"{interpretation}.dcm", intensity_profile=MINMAX)
        return study.radiographs[Slot.FRONTAL].pixels_for(geometry)

    np.testing.assert_array_equal(read("MONOCHROME2"), expected)  # the published code reads every image as that
    # Inverted before it is truncated and resized, each of which moves a value by less than one.
    assert np.abs(read("MONOCHROME1") - (255 - expected)).max() <= 2
