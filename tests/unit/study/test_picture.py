"""JPEG and PNG files: nothing else is opened, nothing is cut to 8 bits, and what lies on its side is turned."""

import ast
import contextlib
import io
import struct
import sys
import zipfile
import zlib

import numpy as np
import pytest
from conftest import ROOT
from fuzz.seeds import chest_header, save
from PIL import ExifTags, Image, PngImagePlugin
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from alta_sdk import AltaError, DicomError, Slot, Study, StudyError
from alta_sdk.study.picture import decode_picture
from alta_sdk.study.study import load_study

GREY = np.random.default_rng(1).integers(0, 256, (70, 60), dtype=np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (70, 60, 3), dtype=np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn")
_started: list[list[str]] = []  # an audit hook cannot be taken away: it looks here


@pytest.fixture(scope="module", autouse=True)
def hook():
    sys.addaudithook(lambda event, _: _started[-1].append(event) if _started and event in STARTS else None)


@pytest.fixture
def started():
    """The programs that were started: none, at the end of a test."""
    _started.append([])
    yield _started[-1]
    assert _started.pop() == []


def encode(pixels, name="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **options)
    return out.getvalue()


def write(path, data):
    path.write_bytes(data)
    return path


def pack(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def make_png(depth, colour, samples, **chunks):
    """Return a PNG of any bit depth and colour type; chunks go before the pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    line = bytearray(1) + bytes(range(64)) * (samples * depth // 8)
    if colour in (4, 6) and depth == 8:
        line[samples::samples] = bytes([255]) * 64  # opaque
    pixels = zlib.compress(bytes(line) * 64)
    head = struct.pack(">IIBBBBB", 64, 64, depth, colour, 0, 0, 0)
    extra = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def frontal(study):
    return study.radiographs[Slot.FRONTAL]


def test_a_picture_with_an_archive_behind_it_starts_nothing(shared_case, started):
    path = shared_case("picture-with-an-archive-behind") / "poly.png"
    data = path.read_bytes()
    alone = data[: data.index(b"IEND") + 8]
    for study in (load_study(path, any_picture=True), Study.from_images(path, any_picture=True)):
        np.testing.assert_array_equal(frontal(study).grey_u8, np.array(Image.open(io.BytesIO(alone))))


@pytest.mark.parametrize("inner", [EPS, encode(GREY), save(chest_header(GREY))])
@pytest.mark.parametrize("name", ["x.eps", "x.png", "x.dcm"])
def test_what_lies_behind_any_file_is_never_read(inner, name, started, tmp_path):
    archive = pack(**{name: inner})
    for outer, expected in ((encode(GREY), GREY), (encode(GREY, "JPEG", quality=100), None)):
        picture = frontal(load_study(write(tmp_path / "study.dat", outer + archive)))
        whole = np.array(Image.open(io.BytesIO(outer))) if expected is None else expected
        np.testing.assert_array_equal(picture.grey_u8, whole)
    for other in (EPS, b"GIF89a" + bytes(90), b"BM" + bytes(90), b"%PDF-1.7\n", b"notes\n", b"MZ" + bytes(200)):
        path = write(tmp_path / "study.dat", other + archive)
        for read in (load_study, Study.from_images, Study.from_dicom):
            with pytest.raises(StudyError):
                read(path)


def test_a_second_archive_behind_the_first_is_not_read_in_its_place(tmp_path):
    one, other = (pack(**{"a.dcm": save(chest_header(pixels))}) for pixels in (GREY, 255 - GREY))
    with pytest.raises(StudyError, match="behind another"):
        load_study(write(tmp_path / "two.zip", one + other))
    assert load_study(write(tmp_path / "one.zip", one)).slots == (Slot.FRONTAL,)


@pytest.mark.parametrize("first", [encode(GREY)[:128], encode(GREY, "JPEG")[:128], b"PK\3\4" + bytes(124)])
def test_a_dicom_file_that_begins_as_another_kind_is_refused(first, tmp_path, make_dicom):
    whole = make_dicom().read_bytes()
    path = write(tmp_path / "both", first + whole[128:])
    for read in (load_study, Study.from_dicom, Study.from_images):
        with pytest.raises(StudyError, match="at once|is a DICOM file"):
            read(path)
    with pytest.raises(DicomError, match="file 1 of 2.*at once"):
        Study.from_dicom([path, make_dicom("b.dcm")])
    tiff = write(tmp_path / "tiff", b"II*\0" + bytes(124) + whole[128:])  # PS3.10 7.1 names this use
    assert load_study(tiff).slots == (Slot.FRONTAL,)


@pytest.mark.parametrize("name", ["EPS", "TIFF", "BMP", "GIF", "PPM", "WEBP", "JPEG2000", "ICO", "PCX", "TGA", "PDF"])
def test_other_formats_are_not_opened(name, started, tmp_path):
    path = write(tmp_path / "a.png", encode(GREY, name))
    for read in (load_study, Study.from_images):
        with pytest.raises(StudyError):
            read(path)


def test_pillow_is_told_what_to_open_everywhere():
    for folder in ("alta_sdk", "runtimes", "training", "export", "benchmarks", "examples"):
        for program in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(program.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                    assert "formats" in [keyword.arg for keyword in node.keywords], program


def test_a_png_of_16_bits_in_colour_is_refused(shared_case):
    path = shared_case("png-16bit-colour") / "rgb16.png"
    for read in (load_study, Study.from_images):
        with pytest.raises(StudyError, match="more than 8 bits a channel"):
            read(path)


@pytest.mark.parametrize(("colour", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_pngs_of_16_bits_of_every_colour_type_are_refused(colour, samples):
    assert decode_picture(make_png(8, colour, samples)).grey_u8.shape[:2] == (64, 64)
    for chunks in ({}, {"gAMA": struct.pack(">I", 45455)}, {"sBIT": bytes([8] * samples)}):
        with pytest.raises(StudyError, match="more than 8 bits a channel"):
            decode_picture(make_png(16, colour, samples, **chunks))


@pytest.mark.parametrize(("colour", "depth"), [(0, 1), (0, 2), (0, 4), (3, 8)])
def test_pngs_of_fewer_bits_are_read(colour, depth):
    chunks = {"PLTE": bytes(range(192))} if colour == 3 else {}
    data = make_png(depth, colour, 1, **chunks) if depth == 8 else encode(GREY, bits=depth)
    assert decode_picture(data).grey_u8.dtype == np.uint8


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_picture_with_transparent_parts_is_refused_and_an_opaque_one_is_read(mode, tmp_path):
    image = Image.fromarray(GREY).convert(mode)
    opaque = decode_picture(encode(np.array(image))).grey_u8
    np.testing.assert_array_equal(opaque if mode == "LA" else opaque[..., 0], GREY)
    for alpha in (0, 128, 254):
        for spot in (np.s_[:], np.s_[3, 3], np.s_[-1, -1], np.s_[:10]):
            cover = np.full_like(GREY, 255)
            cover[spot] = alpha
            image.putalpha(Image.fromarray(cover))
            path = write(tmp_path / "a.png", encode(np.array(image)))
            for read in (load_study, Study.from_images):
                with pytest.raises(StudyError, match="transparent parts: export it without an alpha channel"):
                    read(path, any_picture=True)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_colour_or_palette_entry_that_is_transparent_counts_where_it_is_used(mode):
    image = Image.fromarray(GREY // 4 * 4).convert(mode)
    used = image.getpixel((5, 5))
    unused = {"1": None, "L": 3, "P": None, "RGB": (1, 2, 3)}[mode]
    for transparent in (used, unused):
        out = io.BytesIO()
        image.save(out, "PNG", **({} if transparent is None else {"transparency": transparent}))
        if transparent == used:
            with pytest.raises(StudyError, match="transparent parts"):
                decode_picture(out.getvalue())
        else:
            assert decode_picture(out.getvalue()).grey_u8.shape[:2] == GREY.shape
    if mode == "P":
        for alpha, is_refused in ((255, False), (254, True)):
            out = io.BytesIO()
            image.save(out, "PNG", transparency=bytes([alpha]) * 256)
            with pytest.raises(StudyError, match="transparent") if is_refused else contextlib.nullcontext():
                decode_picture(out.getvalue())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "JPEG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_an_exif_orientation_is_applied_and_told(orientation, name, pixels, tmp_path):
    turns = [
        lambda image: image,
        lambda image: image[:, ::-1],
        lambda image: image[::-1, ::-1],
        lambda image: image[::-1],
        lambda image: image.swapaxes(0, 1),
        lambda image: np.rot90(image, -1),
        lambda image: image[::-1, ::-1].swapaxes(0, 1),
        lambda image: np.rot90(image),
    ]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = write(tmp_path / "lying", encode(pixels, name, exif=exif))
    stored = np.array(Image.open(path))
    study = load_study(path, any_picture=True)
    np.testing.assert_array_equal(frontal(study).grey_u8, turns[orientation - 1](stored))
    turned = study.explain()["slots"]["frontal"]["turned"]
    assert bool(turned) == (orientation != 1)
    if orientation in (6, 8):
        assert turned == f"turned by 90° {'clockwise' if orientation == 6 else 'counterclockwise'}"


def test_an_orientation_is_found_wherever_pillow_finds_one(tmp_path):
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta><rdf tiff:Orientation="3"/></x:xmpmeta>')
    picture = decode_picture(encode(GREY, pnginfo=notes))
    np.testing.assert_array_equal(picture.grey_u8, GREY[::-1, ::-1])
    behind = encode(GREY)
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    place = behind.index(b"IEND") - 4
    picture = decode_picture(behind[:place] + chunk + behind[place:])
    np.testing.assert_array_equal(picture.grey_u8, GREY[::-1, ::-1])


@pytest.mark.parametrize("kind", ["exif", "xmp"])
def test_an_orientation_that_imagemagick_keeps_in_a_png_is_applied(kind):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf tiff:Orientation="3"/></x:xmpmeta>'
    data = exif if kind == "exif" else xmp
    for is_packed in (True, False):
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Raw profile type APP1", f"\nAPP1\n{len(data):8}\n{data.hex()}\n", zip=is_packed)
        np.testing.assert_array_equal(decode_picture(encode(GREY, pnginfo=notes)).grey_u8, GREY[::-1, ::-1])
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Raw profile type APP1", "\nAPP1\n 4\nnot hexadecimal\n")
    with pytest.raises(StudyError, match="EXIF profile that cannot be read"):
        decode_picture(encode(GREY, pnginfo=notes))


SMOOTH = np.asarray(Image.fromarray(GREY).resize((600, 700), Image.Resampling.BICUBIC))


def damage(data, how):
    """Return a JPEG of which a part is not there, or is another."""
    start = data.index(b"\xff\xda")
    middle, rest = start + (len(data) - start) // 2, (len(data) - start) // 4
    return {
        "half": data[:middle] + b"\xff\xd9",
        "half and no end": data[:middle],
        "half and zeros": data[:middle] + bytes(len(data) - middle),
        "a cut": data[:middle] + data[middle + rest :],
        "zeros in the middle": data[:middle] + bytes(rest) + data[middle + rest :],
        "ones in the middle": data[:middle] + b"\xff" * rest + data[middle + rest :],
        "repeated": data[:middle] + data[middle - rest : middle] + data[middle:],
    }[how]


@pytest.mark.parametrize(
    "how", ["half", "half and no end", "half and zeros", "a cut", "zeros in the middle", "repeated"]
)
@pytest.mark.parametrize("form", ["plain", "progressive", "restarts", "colour"])
def test_a_jpeg_of_which_a_part_is_made_up_is_refused(form, how):
    options = {"progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 50}}.get(form, {})
    pixels = np.stack([SMOOTH] * 3, axis=2) if form == "colour" else SMOOTH
    whole = encode(pixels, "JPEG", quality=85, **options)
    read = decode_picture(whole).grey_u8
    np.testing.assert_array_equal(read, np.array(Image.open(io.BytesIO(whole))))
    np.testing.assert_array_equal(decode_picture(whole + bytes(7)).grey_u8, read)
    with pytest.raises(StudyError, match="not a whole JPEG"):
        decode_picture(damage(whole, how))


def test_a_jpeg_in_dicom_of_which_a_part_is_made_up_is_refused(tmp_path):
    header = chest_header(SMOOTH)
    whole = encode(SMOOTH, "JPEG", quality=85)
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    for data, is_whole in ((whole, True), (damage(whole, "a cut"), False), (damage(whole, "half"), False)):
        header.PixelData = encapsulate([data])
        header["PixelData"].is_undefined_length = True
        path = write(tmp_path / "a.dcm", save(header))
        if is_whole:
            assert Study.from_dicom(path, any_picture=True).slots == (Slot.FRONTAL,)
        else:
            with pytest.raises(DicomError, match="damaged or truncated"):
                Study.from_dicom(path, any_picture=True)


def test_an_orientation_that_is_not_defined_is_refused_and_none_is_upright():
    for value, message in ((9, "not defined"), (200, "not defined")):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = value
        with pytest.raises(StudyError, match=message):
            decode_picture(encode(GREY, exif=exif))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 0
    assert decode_picture(encode(GREY, exif=exif)).turned == ""


def test_damaged_exif_is_no_error_of_anothers():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    whole = encode(GREY, "JPEG", exif=exif)
    place = whole.index(b"Exif\0\0") + 6
    rng = np.random.default_rng(3)
    for _ in range(200):
        data = bytearray(whole)
        data[place + int(rng.integers(0, 26))] = int(rng.integers(0, 256))
        try:
            assert decode_picture(bytes(data)).grey_u8.dtype == np.uint8
        except AltaError:
            continue


def test_of_several_pictures_in_a_file_the_first_is_read_and_that_is_told(tmp_path):
    images = [Image.fromarray(pixels) for pixels in (GREY, 255 - GREY)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:])
    radiograph = frontal(load_study(tmp_path / "a.png"))
    np.testing.assert_array_equal(radiograph.grey_u8, GREY)
    assert radiograph.notices == ("image file holds 2 pictures: the first was read",)


def test_one_image_a_slot(tmp_path, radiograph_path, make_dicom):
    import torch

    one, two = write(tmp_path / "a.jpg", encode(GREY, "JPEG")), write(tmp_path / "b.png", encode(GREY))
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.png", encode(GREY))
    archive = write(tmp_path / "two.zip", pack(**{"a.jpg": one.read_bytes(), "b.jpg": one.read_bytes()}))
    alone = write(tmp_path / "one.zip", pack(**{"a.jpg": one.read_bytes()}))
    with Image.open(two) as image:
        others = [image, two.read_bytes(), io.BytesIO(two.read_bytes()), torch.zeros((64, 64), dtype=torch.uint8)]
        for source in ([one, two], (one,), [one], {one}, folder, archive, alone, 7, {}, iter([one]), *others):
            for slot in ("frontal", "lateral", "prior_frontal", "prior_lateral"):
                with pytest.raises(StudyError, match="one image a slot: give the path"):
                    Study.from_images(**{"frontal": radiograph_path, slot: source})
    study = Study.from_images(one, lateral=two, prior_frontal=GREY)
    assert study.slots == (Slot.FRONTAL, Slot.LATERAL, Slot.PRIOR_FRONTAL)
