"""Pictures that are no radiographs: what is refused, what is told, and that real radiographs pass."""

import io

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from alta_sdk import Heatmap, Slot, Study, StudyError
from alta_sdk.dicom.intensity import PROFILES
from alta_sdk.dicom.view_words import View
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_sdk.study.plausibility import judge_picture
from alta_sdk.study.study import load_study

SAMPLES = sorted((ROOT / "examples" / "data").glob("*.jpg"))
SHAPE = (300, 280)


def read(path=SAMPLES[0]):
    return np.asarray(Image.open(path).convert("L"))


def judge(picture, view=View.FRONTAL):
    picture = np.ascontiguousarray(picture)
    return judge_picture(picture, ALTA_GEOMETRY.to_pixels(picture), view)


def draw_rectangle(inside, outside):
    picture = np.empty((*SHAPE, *np.shape(inside)), np.uint8)
    picture[:] = outside
    picture[90:200, 60:220] = inside
    return picture


def with_odd_pixel(picture):
    picture = picture.copy()
    picture[0, 0] ^= 255
    return picture


def draw_heat_map():
    grey = read()
    patches = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    return Heatmap(grey.astype(np.float32) / 255, patches, 0.2, 0.5, (1, 1), grey, {}).overlay()


def as_jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file, formats=("JPEG",)))


def draw_ramp(angle, levels=255):
    rows, columns = np.indices(SHAPE) / np.reshape(SHAPE, (2, 1, 1))
    ramp = np.cos(angle) * rows + np.sin(angle) * columns
    return np.round(levels * (ramp - ramp.min()) / np.ptp(ramp)).astype(np.uint8)


REFUSED = {
    "two near values": lambda: draw_rectangle(60, 40),
    "two near values as JPEG": lambda: as_jpeg(draw_rectangle(60, 40), 60),
    "dark on light, near, as JPEG": lambda: as_jpeg(draw_rectangle(150, 180), 60),
    "constant": lambda: np.full(SHAPE, 128, np.uint8),
    "black": lambda: np.zeros((2000, 1500), np.uint8),
    "constant but for a pixel": lambda: with_odd_pixel(np.full(SHAPE, 90, np.uint8)),
    "constant colour": lambda: np.full((*SHAPE, 3), (200, 30, 30), np.uint8),
    "two values": lambda: draw_rectangle(255, 0),
    "a chessboard": lambda: np.kron(np.indices((8, 8)).sum(0) % 2, np.full((40, 40), 200)).astype(np.uint8),
    "a coloured rectangle": lambda: draw_rectangle((200, 40, 40), (128, 128, 128)),
    "a coloured rectangle on a radiograph": lambda: np.where(
        draw_rectangle(1, 0)[..., None], np.uint8([0, 180, 60]), np.dstack([read()[:300, :280]] * 3)
    ).astype(np.uint8),
    "noise of colours": lambda: np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), dtype=np.uint8),
    "a heat map": draw_heat_map,
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("suffix", ["array", "png", "jpg"])
def test_what_no_radiograph_can_be_is_refused_unless_any_picture_is_wanted(tmp_path, kind, suffix):
    picture = REFUSED[kind]()
    source = picture if suffix == "array" else tmp_path / f"a.{suffix}"
    if suffix != "array":
        Image.fromarray(picture).save(source)
    with pytest.raises(StudyError, match="--any-picture"):
        Study.from_images(source)
    study = Study.from_images(source, any_picture=True)
    assert len(study.read_notes([Slot.FRONTAL])) == 1, "it is told all the same"
    with pytest.raises(StudyError, match="--any-picture"):
        Study.from_images(SAMPLES[0], prior_lateral=source)


@pytest.mark.parametrize("profile", PROFILES)
def test_dicom_images_are_judged_in_every_profile(make_dicom, profile):
    two = make_dicom("two.dcm", draw_rectangle(255, 0).astype(np.uint16) * 16 + 7)
    with pytest.raises(StudyError, match="grey levels"):
        load_study(two, intensity_profile=profile)
    assert load_study(two, intensity_profile=profile, any_picture=True).slots == (Slot.FRONTAL,)
    stored = read().astype(np.uint16) * 16
    upright = load_study(make_dicom("good.dcm", stored), intensity_profile=profile)
    assert upright.read_notes(upright.slots) == []
    inverted = load_study(make_dicom("bad.dcm", 4080 - stored), intensity_profile=profile)
    assert ["inverted" in note for note in inverted.read_notes(inverted.slots)] == [True]
    meant = load_study(make_dicom("m1.dcm", 4080 - stored, PhotometricInterpretation="MONOCHROME1"))
    assert meant.read_notes(meant.slots) == []


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("nearly constant", lambda one: np.random.default_rng(1).integers(125, 131, SHAPE, dtype=np.uint8)),
        ("nearly constant", lambda one: as_jpeg(draw_rectangle(60, 52), 60)),
        *(
            ("nearly constant", lambda one, levels=levels: np.round(one / 255.0 * levels + 90))
            for levels in (6, 10, 14)
        ),
        *(("a ramp", lambda one, angle=angle: draw_ramp(angle)) for angle in np.arange(16) * np.pi / 8 + 0.1),
        ("a ramp", lambda one: draw_ramp(np.pi / 4)),
        ("a ramp", lambda one: 255 - draw_ramp(np.pi / 4)),
        ("a ramp", lambda one: as_jpeg(draw_ramp(np.pi / 4, 40) + 80, 60)),
        ("a ramp", lambda one: np.clip(draw_ramp(2.0) + np.random.default_rng(1).normal(0, 3, SHAPE), 0, 255)),
        ("a ramp", lambda one: np.round(255 * (draw_ramp(np.pi / 4) / 255.0) ** 2.2)),
        ("nearly constant", lambda one: (100 + one // 32).astype(np.uint8)),
        ("noise", lambda one: np.random.default_rng(1).integers(0, 256, SHAPE, dtype=np.uint8)),
        ("noise", lambda one: np.random.default_rng(1).integers(0, 256, (2300, 2000), dtype=np.uint8)),
        ("inverted (", lambda one: 255 - one),
        ("upside down", lambda one: one[::-1]),
        ("upside down", lambda one: one[::-1, ::-1]),
        ("onto its side", lambda one: np.rot90(one)),
        ("onto its side", lambda one: np.rot90(one, -1)),
        ("colour", lambda one: np.dstack([one, one // 8 * 7, one // 8 * 7])),
    ],
)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_a_radiograph_seldom_is_is_told(path, words, make):
    judged = judge(make(read(path)).astype(np.uint8))
    assert judged.refusal == "" and len(judged.doubts) == 1
    assert words in judged.doubts[0]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "change",
    [
        lambda one: one,
        lambda one: one[:, ::-1],
        lambda one: (one // 3).astype(np.uint8),
        lambda one: np.round(255 * (one / 255.0) ** 2).astype(np.uint8),
        lambda one: np.dstack([one] * 3),
        lambda one: np.round(one / 255.0 * 30 + 90).astype(np.uint8),  # a window that is far too wide
        lambda one: np.where(draw_rectangle(0, 1).astype(bool), 0, np.resize(one, SHAPE)).astype(np.uint8),
        lambda one: np.asarray(Image.fromarray(one).resize((40, 40)).resize((300, 300), Image.Resampling.BICUBIC)),
    ],
)
def test_real_radiographs_pass_mirrored_dark_and_in_grey_rgb(path, change):
    judged = judge(change(read(path)))
    assert judged.refusal == "" and judged.doubts == ()


def test_a_lateral_is_not_compared_with_a_frontal():
    assert judge(255 - read(), View.LATERAL).doubts == ()
    assert judge(np.full(SHAPE, 7, np.uint8), View.LATERAL).refusal
