"""DICOM in the forms that hospitals keep it in: coding, bits, frames, files without a preamble."""

import gc
import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fuzz.seeds import chest_header, deflate, save
from pydicom import uid
from pydicom.encaps import encapsulate

from alta_sdk import DicomError, Slot, Study
from alta_sdk.dicom import parsing
from alta_sdk.dicom.image import decode_grey, read_image
from alta_sdk.dicom.intensity import PROFILES, PUBLISHED, VOI, GreyOptions, scale_intensity
from alta_sdk.dicom.pixels import decode_first_frame
from alta_sdk.study.study import load_study

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
CR = GreyOptions()


@pytest.fixture(scope="module")
def grey12():
    rows, columns = np.mgrid[0:64, 0:48]
    return ((rows * 61 + columns * 7) % 4096).astype(np.uint16)


def read_stored(header):
    return decode_first_frame(read_image(save(header)).stored)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless])
def test_lossless_coding_gives_the_stored_values(syntax, grey12):
    header = chest_header(grey12)
    header.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read_stored(header), grey12)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("htj2k", uid.HTJ2KLossless),
        ("htj2k", uid.HTJ2K),
        ("jpeg_lossless", uid.JPEGLosslessSV1),
        ("jpeg_lossless", uid.JPEGLossless),
    ],
)
def test_codings_that_only_others_write_give_the_stored_values(name, syntax):
    with np.load(Path(__file__).parents[2] / "golden" / "codestreams.npz") as golden:
        stored, codestream = golden["stored"], golden[name].tobytes()
    header = chest_header(stored, PixelData=encapsulate([codestream]))
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read_stored(header), stored)


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_expb.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_gdcm_KY.dcm"),  # JPEG Lossless and JPEG 2000
    ],
)
def test_every_coding_of_one_image_gives_the_same_pixels(name, same_as):
    one, other = (decode_grey(read_image((SHIPPED / file).read_bytes()), CR) for file in (name, same_as))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "name",
    ["image_dfl.dcm", "SC_rgb_rle_16bit.dcm", "JPEGLSNearLossless_16.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"],
)
def test_published_v1_is_what_pydicom_decodes_scaled_to_its_maximum(name):
    path = SHIPPED / name
    stored = pydicom.dcmread(path).pixel_array
    expected = scale_intensity(stored, is_monochrome1=False, profile=PUBLISHED)
    np.testing.assert_array_equal(decode_grey(read_image(path.read_bytes()), CR), expected)


def test_files_without_preamble_or_meta_information_are_read(grey12):
    header = chest_header(grey12)
    whole = save(header)
    expected = decode_grey(read_image(whole), CR)
    start = whole.index(b"\x08\x00\x16\x00")  # the first element of the data set
    forms = [whole[132:], whole[128:], whole[start:]]
    for syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian):
        out = io.BytesIO()
        other = chest_header(grey12)
        if syntax == uid.ExplicitVRBigEndian:
            other.PixelData = grey12.astype(">u2").tobytes()
        pydicom.dcmwrite(
            out, other, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, force_encoding=True
        )
        data = out.getvalue()
        group = b"\x08\x00\x16\x00" if syntax.is_little_endian else b"\x00\x08\x00\x16"
        forms.append(data[data.index(group) :])
    for data in forms:
        np.testing.assert_array_equal(decode_grey(read_image(data), CR), expected)


def test_the_high_bit_and_the_bits_around_the_stored_ones_do_not_matter(grey12):
    expected = read_stored(chest_header(grey12))
    overlay_above = chest_header(grey12 | 0xF000)
    high = chest_header((grey12 << 4) | 0x000A, HighBit=15)
    middle = chest_header((grey12 << 2) | 0xC001, HighBit=13)
    for header in (overlay_above, high, middle):
        np.testing.assert_array_equal(read_stored(header), expected)
    header = chest_header((grey12 << 4) | 0x000A, HighBit=15)
    header.compress(uid.RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_stored(header), expected)


def test_signed_values_of_12_bits_carry_their_sign_up():
    values = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    header = chest_header(values.astype(np.uint16) & 0x0FFF, PixelRepresentation=1)
    stored = read_stored(header)
    assert stored.dtype.kind == "i"
    np.testing.assert_array_equal(stored, values)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_the_first_of_several_frames_is_read_and_said(syntax, grey12, tmp_path):
    header = chest_header(grey12, NumberOfFrames=3, PixelData=np.stack([grey12, grey12 * 0, grey12 * 0]).tobytes())
    if syntax.is_compressed:
        header.compress(syntax, generate_instance_uid=False)
    (tmp_path / "frames.dcm").write_bytes(save(header))
    radiograph = Study.from_dicom(tmp_path / "frames.dcm").radiographs[Slot.FRONTAL]
    np.testing.assert_array_equal(radiograph.grey_u8, decode_grey(read_image(save(chest_header(grey12))), CR))
    assert radiograph.notices == ("image has 3 frames: the first was read",)


def test_colour_captures_are_read(tmp_path):
    colour = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    colour[0, 0] = 255
    for planar in (0, 1):
        pixels = colour.transpose(2, 0, 1).tobytes() if planar else colour.tobytes()
        header = chest_header(colour, Modality="OT", PlanarConfiguration=planar, PixelData=pixels)
        (tmp_path / "capture.dcm").write_bytes(save(header))
        for profile in (PUBLISHED, VOI):
            study = load_study(tmp_path / "capture.dcm", intensity_profile=profile, any_picture=True)
            np.testing.assert_array_equal(study.radiographs[Slot.FRONTAL].grey_u8, colour)


def test_raw_detector_data_is_refused_unless_allowed(grey12, tmp_path):
    path = tmp_path / "raw.dcm"
    path.write_bytes(save(chest_header(grey12, Modality="DX", PresentationIntentType="FOR PROCESSING")))
    with pytest.raises(DicomError, match="--allow-for-processing"):
        load_study(path)
    assert load_study(path, allow_for_processing=True).slots == (Slot.FRONTAL,)


def test_deflated_files_inflate_under_a_bound(grey12, monkeypatch):
    header = chest_header(grey12)
    np.testing.assert_array_equal(
        decode_grey(read_image(deflate(header)), CR), decode_grey(read_image(save(header)), CR)
    )
    bomb = deflate(header, padding=8 << 20)
    assert len(bomb) < 1 << 15
    monkeypatch.setattr(parsing, "MAX_INFLATED_BYTES", 8 << 20)
    with pytest.raises(DicomError, match="when inflated: refused"):
        read_image(bomb)
    with pytest.raises(DicomError, match="ends too early"):
        read_image(deflate(header)[:-40])


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "32 bits allocated"),
        ({"BitsStored": 17}, "contradict each other"),
        ({"HighBit": 3}, "contradict each other"),
        ({"Rows": 60000, "Columns": 60000}, "larger than"),
        ({"NumberOfFrames": 2_000_000}, "larger than"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric"),
        ({"Rows": 65}, "damaged or truncated"),
        ({"PixelRepresentation": 7}, "damaged or truncated"),
        ({"SamplesPerPixel": None}, "damaged or truncated"),
        ({"FloatPixelData": bytes(4 * 64 * 48)}, "damaged or truncated"),
    ],
)
def test_pixels_that_the_header_does_not_describe_are_named(elements, message, grey12):
    image = read_image(save(chest_header(grey12, **elements)))
    for profile in PROFILES:
        with pytest.raises(DicomError, match=message):
            decode_grey(image, GreyOptions(profile))


@pytest.mark.parametrize("elements", [{}, {"WindowCenter": [1, 2], "WindowWidth": 5}, {"BitsStored": 17}])
def test_no_data_set_outlives_the_reading_of_its_header(elements, grey12):
    def count_data_sets():
        gc.collect()
        return sum(issubclass(type(one), pydicom.Dataset) for one in gc.get_objects())

    data = save(chest_header(grey12, **elements))
    before = count_data_sets()
    image = read_image(data)
    assert count_data_sets() == before
    assert "QUIXLEY" not in repr(image) and "1.2.826" not in repr(image)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
def test_a_size_of_another_kind_than_the_standards_is_not_mended(keyword, grey12):
    header = chest_header(grey12)
    value = header[keyword].value
    del header[keyword]
    header.add_new(keyword, "FL", float(value))
    with pytest.raises(DicomError, match="damaged or truncated"):
        decode_grey(read_image(save(header)), CR)


def nest(keyword, depth=40):
    deep = pydicom.Dataset()
    for _ in range(depth):
        outer = pydicom.Dataset()
        setattr(outer, keyword, [deep])
        deep = outer
    return deep


def test_headers_beyond_the_bounds_are_refused(grey12):
    deep = nest("ViewModifierCodeSequence")
    with pytest.raises(DicomError, match="levels deep"):
        read_image(save(chest_header(grey12, ViewCodeSequence=[deep])))
    unread = chest_header(grey12, ReferencedImageSequence=[nest("ReferencedImageSequence")])
    np.testing.assert_array_equal(read_stored(unread), read_stored(chest_header(grey12)))  # nobody asks for it
    implicit = chest_header(grey12, RescaleIntercept="77")
    implicit.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    numbers = b"1\\" * 200_000
    long = save(implicit).replace(
        b"\x28\x00\x52\x10\x02\0\0\x0077", b"\x28\x00\x52\x10" + len(numbers).to_bytes(4, "little") + numbers
    )
    with pytest.raises(DicomError, match="longer than"):
        read_image(long)


def test_lossy_coding_without_a_decoder_says_what_to_install():
    image = read_image((SHIPPED / "JPGExtended.dcm").read_bytes())
    with pytest.raises(DicomError, match="gpl-jpeg.*whose decoder is GPL-3"):
        decode_grey(image, CR)
