"""Stored values survive any place of the high bit and any noise around them; grey levels keep their order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alta_sdk.dicom.intensity import PROFILES, scale_intensity
from alta_sdk.dicom.luts import Window
from alta_sdk.dicom.pixel_layout import PixelLayout
from alta_sdk.dicom.pixels import mask_unused_bits


@st.composite
def layouts(draw):
    allocated = draw(st.sampled_from([8, 16]))
    stored = draw(st.integers(1, allocated))
    high = draw(st.integers(stored - 1, allocated - 1))
    return PixelLayout(8, 8, 1, 1, allocated, stored, high, draw(st.booleans()), "MONOCHROME2", 0)


@given(layouts(), st.integers(0, 2**32 - 1))
def test_stored_values_are_found_between_any_other_bits(layout, seed):
    rng = np.random.default_rng(seed)
    low = -(1 << (layout.bits_stored - 1)) if layout.is_signed else 0
    values = rng.integers(low, low + (1 << layout.bits_stored), (8, 8))
    shift = layout.high_bit - layout.bits_stored + 1
    own = ((1 << layout.bits_stored) - 1) << shift
    noise = rng.integers(0, 1 << layout.bits_allocated, (8, 8)) & ~own
    unsigned = np.dtype(f"u{layout.bits_allocated // 8}")
    written = (((values << shift) & own) | noise).astype(unsigned)
    pixels = written.view(f"i{layout.bits_allocated // 8}") if layout.is_signed else written
    np.testing.assert_array_equal(mask_unused_bits(pixels, layout), values)


@given(st.integers(0, 2**32 - 1), st.sampled_from(PROFILES), st.integers(1, 65535))
def test_brighter_values_never_become_darker(seed, profile, high):
    stored = np.random.default_rng(seed).integers(0, high, (16, 16), dtype=np.uint16, endpoint=True)
    stored[0, 0], stored[0, 1] = 0, high
    order = np.argsort(stored, axis=None)
    plain = scale_intensity(stored, is_monochrome1=False, profile=profile).ravel()[order].astype(int)
    inverted = scale_intensity(stored, is_monochrome1=True, profile=profile).ravel()[order].astype(int)
    assert (np.diff(plain) >= 0).all() and (np.diff(inverted) <= 0).all()


@given(
    st.floats(-1e5, 1e5),
    st.floats(1, 1e5),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_rise_from_black_to_white(center, width, function):
    values = np.linspace(-2e5, 2e5, 501)
    grey = Window(center, width, function).apply(values)
    assert grey.min() >= 0 and grey.max() <= 255 and (np.diff(grey) >= 0).all()
    assert Window(center, width, function).apply(np.array([-1e7, 1e7])).round().tolist() == [0, 255]
