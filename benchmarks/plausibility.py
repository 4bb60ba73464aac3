"""How often do the checks of a picture's pixels refuse or doubt real radiographs, and how often nonsense?

Thresholds were chosen on the training and validation parts of the NIH radiographs and the training part of
covid_chestxray; every part is printed by itself. Needs those two folders, each with `metadata.csv` and `images/`.

    python benchmarks/plausibility.py ../shared/data [--json]
    python benchmarks/plausibility.py ../shared/data --template    # the table that alta_sdk/study/plausibility.py holds
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alta_sdk import AltaError, Study
from alta_sdk.cli.terminal import fail_in_one_line, print_table
from alta_sdk.dicom.intensity import AS_STORED, PROFILES, scale_intensity
from alta_sdk.dicom.view_words import View
from alta_sdk.files.tables import read_rows
from alta_sdk.locate.overlay import blend
from alta_sdk.study.geometry import ALTA_GEOMETRY
from alta_sdk.study.plausibility import (
    BANDS,
    Judgement,
    count_levels,
    judge_picture,
    measure_bands,
    measure_contrast,
    measure_fits,
    measure_ramp,
    measure_smoothness,
    rank_blocks,
)
from alta_sdk.study.slots import Slot

SETS = ("nih_cxr", "covid_chestxray")
EACH = 100  # pictures of each kind of nonsense
LIMIT = 0.005  # of real radiographs that may get a notice
Picture = NDArray[np.uint8]
Row = dict[str, object]


def read_set(folder: Path) -> Iterator[tuple[str, Picture]]:
    """Yield the split and the pixels of each radiograph."""
    for row in read_rows(folder / "metadata.csv", ("image", "split"), error=AltaError, name="metadata.csv"):
        study = Study.from_images(frontal=folder / "images" / row["image"], any_picture=True)
        yield row["split"], study.radiographs[Slot.FRONTAL].grey_u8


def judge(picture: Picture) -> Judgement:
    """Judge a picture that is given as a frontal radiograph."""
    return judge_picture(picture, ALTA_GEOMETRY.to_pixels(picture), View.FRONTAL)


def count(name: str, pictures: Iterable[Picture]) -> Row:
    """Count the pictures of a kind that are refused, that get a notice, and what it says."""
    judged = [judge(picture) for picture in pictures]
    noticed = [one.doubts for one in judged if one.doubts and not one.refusal]
    said = Counter(doubt.removeprefix("picture ").partition(":")[0] for doubts in noticed for doubt in doubts)
    refused = sum(bool(one.refusal) for one in judged)
    told = "; ".join(f"{times} {what}" for what, times in said.most_common(4))
    return {"pictures": name, "count": len(judged), "refused": refused, "notice": len(noticed), "what": told}


def measure_extremes(name: str, pictures: Iterable[Picture]) -> Row:
    """Return how near the real radiographs come to each threshold."""
    rest, contrast, smoothness, ramp, margin = [], [], [], [], []
    for picture in pictures:
        pixels = ALTA_GEOMETRY.to_pixels(picture)
        rest.extend(1 - sum(measure_bands(count_levels(picture), width)) for width in BANDS)
        contrast.append(measure_contrast(pixels))
        smoothness.append(measure_smoothness(pixels))
        ramp.append(measure_ramp(pixels))
        upright, best, _ = measure_fits(pixels)
        margin.append(best - upright)
    return {
        "radiographs": name,
        "least outside two levels": round(min(rest), 2),
        "least contrast": min(contrast),
        "least smoothness": round(min(smoothness), 3),
        "most": round(max(smoothness), 5),
        "most of a ramp": round(max(ramp), 3),
        "largest margins of another lie": ", ".join(f"{one:.2f}" for one in sorted(margin)[:-7:-1]),
    }


def as_profile(picture: Picture, profile: str) -> Picture:
    """Return a radiograph as a DICOM image of 12 bits would reach the checks, in a profile."""
    return scale_intensity(picture.astype(np.uint16) * 16, is_monochrome1=False, profile=profile)


def as_jpeg(picture: Picture, quality: int = 80) -> Picture:
    """Return a picture as JPEG gives it back."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file, formats=("JPEG", "PNG")))


def draw_rectangle(rng: np.random.Generator, shape: tuple[int, int], inside: object, outside: object) -> Picture:
    """Return a rectangle of one colour or grey on a ground of another."""
    colours = np.array([outside, inside], dtype=np.uint8)
    mask = np.zeros(shape, dtype=np.intp)
    top, left = (int(rng.integers(0, side // 2)) for side in shape)
    mask[top : top + shape[0] // 2, left : left + shape[1] // 2] = 1
    return colours[mask]


def make_smooth(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return soft blobs: a few random values, enlarged."""
    few = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
    return np.asarray(few.resize(shape[::-1], Image.Resampling.BICUBIC))


def make_gradient(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return a ramp from black to white in some direction."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    ramp = np.cos(angle) * rows / shape[0] + np.sin(angle) * columns / shape[1]
    return np.round(255 * (ramp - ramp.min()) / np.ptp(ramp)).astype(np.uint8)


def make_photograph(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Return soft blobs of colour."""
    return np.dstack([make_smooth(rng, shape) for _ in range(3)])


def swap_bytes(picture: Picture) -> Picture:
    """Return a 16-bit radiograph read in the wrong byte order, scaled as published-v1 does."""
    stored = (picture.astype(np.uint16) * 16 + np.arange(picture.size).reshape(picture.shape) % 16).astype(np.uint16)
    return scale_intensity(stored.byteswap(), is_monochrome1=False, profile=PROFILES[0])


def overlay(rng: np.random.Generator, picture: Picture) -> Picture:
    """Return a radiograph with a heat map on it."""
    values = make_smooth(rng, picture.shape[:2]).astype(np.float32) / 255
    return blend(picture, values, (0.0, 1.0), 0.5)


def list_nonsense(rng: np.random.Generator, real: list[Picture]) -> dict[str, Callable[[Picture], Picture]]:
    """Return by name what makes a picture of each kind; it gets a radiograph to spoil, or to take the shape of."""

    def grey() -> int:
        return int(rng.integers(0, 256))

    def colour() -> list[int]:
        return list(rng.permutation([int(rng.integers(0, 60)), int(rng.integers(130, 256)), grey()]))

    return {
        "constant": lambda one: np.full(one.shape, grey(), dtype=np.uint8),
        "a rectangle, black on white": lambda one: draw_rectangle(rng, one.shape, 0, 255),
        "the same as JPEG": lambda one: as_jpeg(draw_rectangle(rng, one.shape, 0, 255)),
        "a faint rectangle, 12 to 31 levels, as JPEG of quality 60": lambda one: as_jpeg(
            draw_rectangle(rng, one.shape, level := int(rng.integers(0, 200)), level + int(rng.integers(12, 32))), 60
        ),
        "a coloured rectangle on grey": lambda one: draw_rectangle(rng, one.shape, colour(), [grey()] * 3),
        "blobs of colour": lambda one: make_photograph(rng, one.shape),
        "a radiograph with a heat map on it": lambda one: overlay(rng, one),
        "a radiograph tinted like old film": lambda one: np.dstack([one // 8 * 6, one // 8 * 7, one]),
        "nearly constant (±3 levels)": lambda one: rng.integers(125, 132, one.shape, dtype=np.uint8),
        "noise": lambda one: rng.integers(0, 256, one.shape, dtype=np.uint8),
        "noise of large pictures": lambda one: rng.integers(0, 256, (2000, 1800), dtype=np.uint8),
        "16 bits in the wrong byte order": swap_bytes,
        "grey blobs": lambda one: make_smooth(rng, one.shape),
        "a ramp": lambda one: make_gradient(rng, one.shape),
        "a faint ramp as JPEG": lambda one: as_jpeg((100 + make_gradient(rng, one.shape) // 8).astype(np.uint8)),
        "a radiograph inverted": lambda one: 255 - one,
        "a radiograph upside down": lambda one: one[::-1],
        "a radiograph turned by 180°": lambda one: one[::-1, ::-1],
        "a radiograph turned by 90°": lambda one: np.rot90(one, int(rng.choice([1, -1]))),
        "a radiograph inverted and upside down": lambda one: 255 - one[::-1],
    }


def print_template(data: Path) -> None:
    """Print the mean ranks of the NIH training radiographs, in per cent, symmetric."""
    ranks = [
        rank_blocks(ALTA_GEOMETRY.to_pixels(picture)) for split, picture in read_set(data / SETS[0]) if split == "train"
    ]
    mean = np.mean(ranks, axis=0)
    mean = (mean + mean[:, ::-1]) / 2
    for row in np.rint(100 * mean / np.sqrt(np.square(mean).sum())).astype(int).tolist():
        click.echo(f"    ({', '.join(map(str, row))}),")


@click.command()
@click.argument("data", metavar="DATA", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--template", is_flag=True, help="Print the mean radiograph, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@fail_in_one_line
def main(data: Path, template: bool, as_json: bool) -> None:
    """Count refusals and notices over real radiographs and over nonsense."""
    if template:
        print_template(data)
        return
    sets = {name: list(read_set(data / name)) for name in SETS}
    pictures = {name: [picture for _, picture in found] for name, found in sets.items()}
    real = [
        count(f"{name}, {part}", [picture for split, picture in found if split == part])
        for name, found in sets.items()
        for part in ("train", "val", "test")
    ]
    real += [count(f"{name}, all, {AS_STORED}", found) for name, found in pictures.items()]
    real += [
        count(f"{name}, all, {profile}", [as_profile(picture, profile) for picture in found])
        for name, found in pictures.items()
        for profile in PROFILES
    ]
    extremes = [measure_extremes(name, found) for name, found in pictures.items()]
    rng = np.random.default_rng(15)
    chosen = [pictures[SETS[0]][i] for i in rng.choice(len(pictures[SETS[0]]), EACH, replace=False)]
    nonsense = [count(name, map(make, chosen)) for name, make in list_nonsense(rng, chosen).items()]
    if as_json:
        click.echo(json.dumps({"real": real, "extremes": extremes, "nonsense": nonsense, "limit": LIMIT}, indent=1))
        return
    for title, rows in (
        (f"Real radiographs (none may be refused, {LIMIT:.1%} may get a notice)", real),
        ("How near they come", extremes),
        ("Nonsense", nonsense),
    ):
        print_table(title, list(rows[0]), [list(row.values()) for row in rows])


if __name__ == "__main__":
    main()
